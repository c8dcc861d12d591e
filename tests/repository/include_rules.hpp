// Who may include whom: the layers as a table, and the check of one file against it.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace qccl::test {

struct Violation {
  std::string file;
  int line = 0;
  std::string included;  // as written between the quotes or brackets
  std::string rule;      // the sentence that it breaks

  std::string describe() const;
};

// Checks the #include lines of `text`, the contents of `file` (path from the root of the tree, with '/'). `exists` says whether a path from
// the root is a file of the tree.
std::vector<Violation> checkIncludes(const std::string& file, const std::string& text,
                                     const std::function<bool(const std::string&)>& exists);

}  // namespace qccl::test
