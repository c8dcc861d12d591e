// Tables for people, JSON lines for programs.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "numerics/case.hpp"
#include "numerics/options.hpp"
#include "numerics/outliers.hpp"

namespace qccl::bench::numerics {

class Report {
 public:
  explicit Report(const Options& options);

  void add(const Case& c, const Result& result);
  void add(DataKind data, std::int64_t step, std::size_t elems, const OutlierResult& result);

 private:
  // A new table gets its header.
  void printHeader(const std::string& table, const char* columns);
  void writeLine(const std::string& line);

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  bool printsTables_;
  std::unique_ptr<std::FILE, Close> json_;
  std::string table_;
};

}  // namespace qccl::bench::numerics
