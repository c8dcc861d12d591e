// Where rank 0's measurements go: the table, the file of JSON lines, and the sums for the last lines.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

#include "perf/measurement.hpp"
#include "perf/options.hpp"

namespace qccl::bench {

class Report {
 public:
  // Opens the JSON file (throws ToolError) and prints the head of the table.
  // `memory` describes where rank 0's operands lie, `against` the library that is compared with; empty without one.
  Report(const Options& options, const char* transport, int ranks, const std::string& memory, const std::string& against);

  void add(const Measurement& outOfPlace, const Measurement* inPlace);
  void finish(std::uint64_t failures);

 private:
  void addLine(const Measurement& m);
  bool showsTable() const { return options_.jsonPath != "-"; }

  const Options& options_;
  std::string transport_;
  int ranks_;
  std::ofstream file_;
  double busbwSum_ = 0;
  std::size_t measurements_ = 0;
  std::string notedReason_;
};

}  // namespace qccl::bench
