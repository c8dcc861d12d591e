// The files of the checkout that this test was built from.
#pragma once

#include <string>
#include <vector>

namespace qccl::test {

// Paths from the root of the checkout, sorted: what git tracks, and what it would track if it were added; all but build outputs where there
// is no git (an unpacked archive).
const std::vector<std::string>& treeFiles();

std::string readTreeFile(const std::string& path);

// Ends with one of "cc", "hpp", "h", "c", "cu", "cuh".
bool isSource(const std::string& path);

}  // namespace qccl::test
