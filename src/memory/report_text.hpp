// Reports for people (aligned tables) and for programs (JSON).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace qccl::memory {

// Columns as wide as their widest cell; the first to the left, numbers to the right.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header) { add(std::move(header)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }  // as many cells as the header
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// One JSON value, written from the outside in. Keys are given inside objects only.
class JsonWriter {
 public:
  JsonWriter& beginObject(std::string_view key = {}) { return begin(key, '{'); }
  JsonWriter& beginArray(std::string_view key) { return begin(key, '['); }
  JsonWriter& endObject() { return end('}'); }
  JsonWriter& endArray() { return end(']'); }
  JsonWriter& put(std::string_view key, std::string_view text);
  JsonWriter& put(std::string_view key, std::size_t number);

  const std::string& text() const { return text_; }

 private:
  JsonWriter& begin(std::string_view key, char bracket);
  JsonWriter& end(char bracket);
  void next(std::string_view key);

  std::string text_;
  bool first_ = true;
};

// "6,402,605,056".
std::string withCommas(std::size_t number);

// "5.96 GiB", "640 B": for reading beside the exact number.
std::string binaryBytes(std::size_t bytes);

}  // namespace qccl::memory
