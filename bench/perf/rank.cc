#include "perf/rank.hpp"

#include "common/api.hpp"

namespace qccl::bench {

Rank::Rank(std::vector<qcclComm_t> comms) : comms_(std::move(comms)) {
  check(qcclCommUserRank(comms_[0], &index_), "qcclCommUserRank", comms_[0]);
  check(qcclCommCount(comms_[0], &size_), "qcclCommCount", comms_[0]);
}

Rank::~Rank() {
  for (qcclComm_t comm : comms_) {
    if (finished_) {
      qcclCommDestroy(comm);
    } else {
      qcclCommAbort(comm);
    }
  }
}

void Rank::abort() {
  for (qcclComm_t comm : comms_) qcclCommAbort(comm);
  comms_.clear();
}

void Rank::barrier() { gather(std::uint64_t{0}); }

std::uint64_t Rank::agree(std::uint64_t value) {
  check(qcclBroadcast(&value, &value, 1, qcclUint64, 0, comm(), nullptr), "qcclBroadcast", comm());
  return value;
}

std::vector<double> Rank::gather(std::span<const double> mine) {
  std::vector<double> all(mine.size() * static_cast<std::size_t>(size_));
  check(qcclAllGather(mine.data(), all.data(), mine.size(), qcclFloat64, comm(), nullptr), "qcclAllGather", comm());
  return all;
}

std::vector<std::uint64_t> Rank::gather(std::uint64_t mine) {
  std::vector<std::uint64_t> all(static_cast<std::size_t>(size_));
  check(qcclAllGather(&mine, all.data(), 1, qcclUint64, comm(), nullptr), "qcclAllGather", comm());
  return all;
}

std::vector<char> Rank::gather(std::span<const char> mine) {
  std::vector<char> all(mine.size() * static_cast<std::size_t>(size_));
  check(qcclAllGather(mine.data(), all.data(), mine.size(), qcclInt8, comm(), nullptr), "qcclAllGather", comm());
  return all;
}

qcclConfig_t configOf(const Options& options, const char* transport) {
  qcclConfig_t config = QCCL_CONFIG_INITIALIZER;
  config.name = "qccl-perf";
  config.transport = transport;
  config.quant.codec = options.codec;
  config.quant.blockElems = options.blockElems;
  config.quant.algorithm = options.algorithm;
  config.quant.scale = options.scale;
  config.quant.rounding = options.rounding;
  config.quant.seed = options.seed;
  config.quant.minBytes = options.quantMinBytes;
  if (options.minSnrDb) config.quant.minSnrDb = *options.minSnrDb;
  return config;
}

}  // namespace qccl::bench
