// Reads text out of files and folders, document by document, in an order that depends on names alone.
//
//  - A file is read as it is; gzip data is decompressed (whatever the name), and `.jsonl` (also `.jsonl.gz`) is a document a line, the
//  string "text" of the
//    line's object.
//  - A folder is walked with everything below it, by name in byte order. Names that begin with '.' and symbolic links inside folders are
//  left out.
//  - A file whose first 8 KiB hold a zero byte, or more than one other control character in 32, is not text and is left out.
//  - A text longer than maxDocumentBytes becomes several documents, cut after a line's end where there is one in the second half.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace qccl::train {

struct DocumentOptions {
  std::size_t maxDocumentBytes = std::size_t{64} << 10;
};

struct DocumentCounts {
  std::uint64_t files = 0;       // read as text
  std::uint64_t binary = 0;      // left out: not text
  std::uint64_t unreadable = 0;  // left out: could not be opened or decompressed (files inside folders only)
  std::uint64_t documents = 0;
  std::uint64_t bytes = 0;  // of text
};

class DocumentReader {
 public:
  // Throws TrainError for a path that does not exist.
  DocumentReader(std::vector<std::string> paths, DocumentOptions options = {});

  // Calls use(text) for every document that is not empty. The text is valid during the call. May be called again, and gives the same
  // documents if the files have not changed. Throws TrainError if a file that was named itself (not found in a folder) is not readable or
  // not text, and for a line of JSONL that is not an object with a string "text".
  DocumentCounts forEach(const std::function<void(std::string_view text)>& use) const;

  // Every file that will be looked at, in order.
  std::size_t fileCount() const { return files_.size(); }

 private:
  struct File {
    std::string path;
    bool named;  // by the user, not found in a folder
  };

  void readFile(const File& file, const std::function<void(std::string_view)>& use, DocumentCounts& counts) const;

  std::vector<File> files_;
  DocumentOptions options_;
};

}  // namespace qccl::train
