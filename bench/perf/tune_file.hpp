// The file of --tune: a tuning table of libqccl (docs/tuning.md), of which a run replaces the rows that it has measured anew.
#pragma once

#include <qccl/qccl.h>

#include <string>
#include <vector>

#include "perf/tune_choice.hpp"

namespace qccl::bench {

// The columns before upToBytes: which calls the rows are for.
std::string tuneKey(qcclColl_t collective, const char* memory, const qcclTuningKey_t& ranks, qcclDataType_t dtype, qcclCodec_t codec);

// One line a row, without a line break; the last one is for all larger sizes.
std::vector<std::string> tuneLines(const std::string& key, const std::vector<TunedRow>& rows);

// `table` (empty: a new one) with `lines` instead of its rows for the same calls. They come first, because the first key that fits a call
// counts; comments and other rows stay.
std::string withLines(const std::string& table, const std::vector<std::string>& lines);

// Throws ToolError if there is a file at `path` and the library does not take it for a tuning table, or if it could not be written.
void requireTuneFile(const std::string& path);

// Puts the lines into the file. Throws ToolError; the file is then as it was.
void updateTuneFile(const std::string& path, const std::vector<std::string>& lines);

}  // namespace qccl::bench
