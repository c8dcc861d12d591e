// What libqccl.so shows to the program that loads it, and what it asks of the machine. A preloaded library with one missing dependency
// breaks every program, so that UCX, hwloc and drivers are opened when first needed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "repository/tree.hpp"
#include "support/process.hpp"

namespace qccl::test {
namespace {

using testing::IsSupersetOf;
using testing::UnorderedElementsAreArray;

std::string outputOf(const std::vector<std::string>& arguments) {
  const ProcessResult result = runProcess(arguments);
  EXPECT_EQ(result.exitCode, 0) << arguments[0] << ": " << result.err;
  return result.out;
}

// Dynamic symbols that the library defines, without their version.
std::vector<std::string> exportedSymbols() {
  std::istringstream lines(outputOf({"nm", "-D", "--defined-only", "--format=posix", QCCL_LIBRARY}));
  std::vector<std::string> symbols;
  for (std::string line; std::getline(lines, line);) symbols.push_back(line.substr(0, line.find_first_of(" @")));
  std::sort(symbols.begin(), symbols.end());
  symbols.erase(std::unique(symbols.begin(), symbols.end()), symbols.end());
  return symbols;
}

// Functions that the public headers declare.
std::vector<std::string> declaredFunctions() {
  static const std::regex declaration(R"(QCCL_API\s+[A-Za-z_ ]+[ *]+(qccl[A-Za-z0-9]+)\()");
  std::vector<std::string> names;
  for (const std::string& file : treeFiles()) {
    if (!file.starts_with("include/qccl/") || !file.ends_with(".h")) continue;
    const std::string text = readTreeFile(file);
    for (auto match = std::sregex_iterator(text.begin(), text.end(), declaration); match != std::sregex_iterator(); ++match)
      names.push_back((*match)[1]);
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(SharedLibrary, ExportsExactlyWhatTheHeadersDeclare) {
  const std::vector<std::string> declared = declaredFunctions();
  EXPECT_GT(declared.size(), 30u) << "the headers were not read";
  EXPECT_THAT(exportedSymbols(), UnorderedElementsAreArray(declared));
}

TEST(SharedLibrary, NeedsOnlyTheCLibraryFamily) {
  const std::string dynamic = outputOf({"readelf", "-dW", QCCL_LIBRARY});
  static const std::regex needed(R"(\(NEEDED\).*\[([^\]]+)\])");
  // The loader and the parts of the C and C++ run time, which every program that could load us has.
  static const std::regex libcClass(R"((libc|libm|libpthread|libdl|librt|libstdc\+\+|libgcc_s|ld-linux[-a-z0-9_]*)\.so\.[0-9]+)");
  static const std::regex sanitizerRuntime(R"(lib(asan|ubsan|tsan)\.so\.[0-9]+)");  // in those builds only
  int seen = 0;
  for (auto match = std::sregex_iterator(dynamic.begin(), dynamic.end(), needed); match != std::sregex_iterator(); ++match) {
    const std::string library = (*match)[1];
    ++seen;
    EXPECT_TRUE(std::regex_match(library, libcClass) || (QCCL_SANITIZED && std::regex_match(library, sanitizerRuntime)))
        << "libqccl.so needs " << library << " at load time: open it with dlopen when it is first used";
  }
  EXPECT_GT(seen, 0) << dynamic;
  EXPECT_THAT(dynamic, testing::Not(testing::HasSubstr("RUNPATH"))) << "it looks for nothing in folders of the build machine";
}

TEST(SharedLibrary, HasAnSonameWithItsMajorVersion) {
  EXPECT_THAT(outputOf({"readelf", "-dW", QCCL_LIBRARY}), testing::ContainsRegex("SONAME.*\\[libqccl\\.so\\.[0-9]+\\]"));
}

}  // namespace
}  // namespace qccl::test
