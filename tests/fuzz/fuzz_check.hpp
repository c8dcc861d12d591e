// What fuzz targets say when something is wrong: a sentence, and abort(), which libFuzzer and the driver of fixed inputs report with the
// input that led to it.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace qccl::test {

inline void fuzzCheck(bool good, const char* sentence) {
  if (good) return;
  std::fprintf(stderr, "fuzzing found: %s\n", sentence);
  std::abort();
}

}  // namespace qccl::test
