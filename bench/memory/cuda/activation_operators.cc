// Each operator of qccl/activations.h and qccl/fused.h, forward and backward, against the GPU's copy of as many bytes.
//
// A turn saves kSets micro-batches and then restores them, so that a backward call finds its codes in memory and not in the cache: what
// others have moved since is several times the cache's size. Values lie in two sets of buffers in turn for the same reason.
#include <fmt/format.h>

#include <array>
#include <functional>

#include "common/median.hpp"
#include "memory/cuda/activation_bench.hpp"

namespace qccl::memory {
namespace {

using bench::check;
using bench::median;
using device::cuda::copyAsync;
using device::cuda::DeviceBuffer;

constexpr std::uint64_t kSets = 6;

struct Case {
  const char* name;
  qcclDataType_t dtype;
  qcclPackedFormat_t format;
  std::size_t rows, cols;
  std::size_t elems() const { return rows * cols; }
  qcclSavedTensor_t tensor(const char* tensorName) const { return {tensorName, elems(), format, dtype}; }
};

// An operator: what it saves, its calls for a micro-batch, and the bytes of those.
struct Operator {
  std::vector<qcclSavedTensor_t> saved;
  std::function<void(qcclPool_t, std::uint64_t)> forward, backward;
  std::size_t forwardBytes = 0, backwardBytes = 0;
};

std::size_t savedBytes(const std::vector<qcclSavedTensor_t>& tensors) {
  std::size_t sum = 0;
  for (const qcclSavedTensor_t& tensor : tensors) {
    std::size_t codes = 0, scales = 0;
    check(qcclTensorBytes(&tensor, &codes, &scales), "qcclTensorBytes");
    sum += codes + scales;
  }
  return sum;
}

class Operators {
 public:
  Operators(const BenchOptions& options, qcclDataType_t dtype) : options_(options), dtype_(dtype) {
    const std::size_t largest = options.rows * std::max(options.cols, options.ffn);
    for (unsigned i = 0; i < kBuffers; ++i) buffers_.push_back(normalValues(largest, dtype, i + 1, stream_.handle()));
    std::size_t scratchBytes = 0;
    check(qcclRmsNormScratchBytes(options.rows, options.cols, &scratchBytes), "qcclRmsNormScratchBytes");
    scratch_ = DeviceBuffer(scratchBytes);
    dWeight_ = normalValues(options.cols, qcclFloat32, 9, stream_.handle());
  }

  std::vector<nlohmann::json> run(const qcclPackedFormat_t& format) {
    std::vector<nlohmann::json> lines;
    const Case norm{"RMSNorm", dtype_, format, options_.rows, options_.cols}, swiglu{"SwiGLU", dtype_, format, options_.rows, options_.ffn},
        plain{"save", dtype_, format, options_.rows, options_.cols};
    measure(plain, {"save", "restore"}, saveRestore(plain), &lines);
    measure(norm, {"RMSNorm forward", "RMSNorm backward"}, normOperator(norm, false), &lines);
    measure(norm, {nullptr, "RMSNorm backward + output"}, normOperator(norm, true), &lines);
    measure(swiglu, {"SwiGLU forward", "SwiGLU backward"}, swigluOperator(swiglu, false), &lines);
    measure(swiglu, {nullptr, "SwiGLU backward + product"}, swigluOperator(swiglu, true), &lines);
    return lines;
  }

 private:
  // Two sets in turn.
  static constexpr unsigned kInSet = 6, kBuffers = 2 * kInSet;
  void* buffer(std::uint64_t set, unsigned i) { return buffers_[set % 2 * kInSet + i].data(); }

  Operator saveRestore(const Case& c) {
    Operator op;
    const qcclSavedTensor_t x = c.tensor("x");
    op.saved = {x};
    op.forward = [=, this](qcclPool_t pool, std::uint64_t set) {
      check(qcclActivationSave(pool, set, &x, buffer(set, 0), dtype_, stream_.handle()), "qcclActivationSave");
    };
    op.backward = [=, this](qcclPool_t pool, std::uint64_t set) {
      check(qcclActivationRestore(pool, set, &x, buffer(set, 1), dtype_, stream_.handle()), "qcclActivationRestore");
    };
    op.forwardBytes = op.backwardBytes = c.elems() * qcclTypeSize(dtype_) + savedBytes(op.saved);
    return op;
  }

  Operator normOperator(const Case& c, bool again) {
    Operator op;
    const qcclSavedTensor_t xhat = c.tensor("xhat"), rstd{"rstd", c.rows, {qcclCodecNone, 0, 0}, qcclFloat32};
    op.saved = {xhat, rstd};
    op.forward = [=, this](qcclPool_t pool, std::uint64_t set) {
      check(qcclRmsNormForward(pool, set, &xhat, &rstd, buffer(set, 0), buffer(0, 2), 1e-5f, buffer(set, 1), dtype_, stream_.handle()),
            "qcclRmsNormForward");
    };
    op.backward = [=, this](qcclPool_t pool, std::uint64_t set) {
      check(qcclRmsNormBackward(pool, set, &xhat, &rstd, buffer(set, 3), buffer(0, 2), buffer(set, 4),
                                reinterpret_cast<float*>(dWeight_.data()), again ? buffer(set, 5) : nullptr, scratch_.data(), dtype_,
                                stream_.handle()),
            "qcclRmsNormBackward");
    };
    op.forwardBytes = 2 * c.elems() * qcclTypeSize(dtype_) + savedBytes(op.saved);
    op.backwardBytes = (again ? 3 : 2) * c.elems() * qcclTypeSize(dtype_) + savedBytes(op.saved);
    return op;
  }

  Operator swigluOperator(const Case& c, bool again) {
    Operator op;
    const qcclSavedTensor_t gate = c.tensor("gate"), up = c.tensor("up");
    op.saved = {gate, up};
    op.forward = [=, this](qcclPool_t pool, std::uint64_t set) {
      check(qcclSwigluForward(pool, set, &gate, &up, buffer(set, 0), buffer(set, 1), buffer(set, 2), dtype_, stream_.handle()),
            "qcclSwigluForward");
    };
    op.backward = [=, this](qcclPool_t pool, std::uint64_t set) {
      check(qcclSwigluBackward(pool, set, &gate, &up, buffer(set, 3), buffer(set, 4), buffer(set, 5), again ? buffer(set, 2) : nullptr,
                               dtype_, stream_.handle()),
            "qcclSwigluBackward");
    };
    op.forwardBytes = 3 * c.elems() * qcclTypeSize(dtype_) + savedBytes(op.saved);
    op.backwardBytes = (again ? 4 : 3) * c.elems() * qcclTypeSize(dtype_) + savedBytes(op.saved);
    return op;
  }

  // Names: of the forward and of the backward call; nullptr: measured elsewhere.
  void measure(const Case& c, const std::array<const char*, 2>& names, const Operator& op, std::vector<nlohmann::json>* lines) {
    const LedgerHandle ledger;
    for (const qcclSavedTensor_t& tensor : op.saved) check(qcclLedgerAdd(ledger.get(), &tensor), "qcclLedgerAdd");
    const PlannedOnGpu pool(ledger.get(), kSets);
    const std::size_t copyBytes = op.backwardBytes / 2;
    DeviceBuffer from(copyBytes), to(copyBytes);
    device::cuda::fillAsync(from.data(), 0x5a, copyBytes, stream_.handle());

    device::cuda::Event start, saved, restored, copied;
    std::vector<double> forward, backward, copy;  // seconds a call
    for (int turn = -2; turn < options_.turns; ++turn) {
      const auto firstSet = static_cast<std::uint64_t>(turn + 2) * kSets;
      start.record(stream_.handle());
      for (std::uint64_t set = 0; set < kSets; ++set) op.forward(pool.get(), firstSet + set);
      saved.record(stream_.handle());
      for (std::uint64_t set = 0; set < kSets; ++set) op.backward(pool.get(), firstSet + set);
      restored.record(stream_.handle());
      for (std::uint64_t set = 0; set < kSets; ++set) copyAsync(to.data(), from.data(), copyBytes, stream_.handle());
      copied.record(stream_.handle());
      stream_.synchronize();
      if (turn < 0) continue;  // loads the kernels, wakes the GPU
      forward.push_back(saved.secondsSince(start) / kSets);
      backward.push_back(restored.secondsSince(saved) / kSets);
      copy.push_back(copied.secondsSince(restored) / kSets);
    }
    const double copyRate = 2 * static_cast<double>(copyBytes) / median(copy);
    if (names[0] != nullptr) lines->push_back(row(c, names[0], op.forwardBytes, median(forward), copyRate));
    lines->push_back(row(c, names[1], op.backwardBytes, median(backward), copyRate));
  }

  nlohmann::json row(const Case& c, const char* name, std::size_t bytes, double seconds, double copyRate) {
    const double rate = static_cast<double>(bytes) / seconds;
    const std::string codec = qcclEnumName(qcclEnumCodec, c.format.codec), dtype = qcclEnumName(qcclEnumDataType, dtype_),
                      scale = qcclEnumName(qcclEnumScale, c.format.scale);
    fmt::print("{:<26} {:<9} {:<8} {:<9} {:>9.1f} {:>9.1f} {:>9.0f} {:>9.0f} {:>7.1f} %\n", name, dtype, codec, scale,
               static_cast<double>(bytes) / (1 << 20), seconds * 1e6, rate / 1e9, copyRate / 1e9, 100 * rate / copyRate);
    return {{"operator", name},
            {"dtype", dtype},
            {"codec", codec},
            {"scale", scale},
            {"rows", c.rows},
            {"cols", c.cols},
            {"block", c.format.blockElems},
            {"bytes", bytes},
            {"seconds", seconds},
            {"bytes_per_second", rate},
            {"copy_bytes_per_second", copyRate},
            {"share_of_copy", rate / copyRate}};
  }

  const BenchOptions& options_;
  qcclDataType_t dtype_;
  device::cuda::Stream stream_;
  std::vector<DeviceBuffer> buffers_;
  DeviceBuffer scratch_{0}, dWeight_{0};
};

}  // namespace

std::vector<nlohmann::json> benchOperators(const BenchOptions& options) {
  fmt::print("{:<26} {:<9} {:<8} {:<9} {:>9} {:>9} {:>9} {:>9} {:>9}\n", "operator", "dtype", "codec", "scale", "MiB moved", "us", "GB/s",
             "copy GB/s", "of copy");
  std::vector<nlohmann::json> lines;
  for (const std::string& dtypeName : options.dtypes) {
    Operators operators(options, static_cast<qcclDataType_t>(qcclEnumValue(qcclEnumDataType, dtypeName.c_str())));
    for (const std::string& codecName : options.codecs) {
      const int codec = qcclEnumValue(qcclEnumCodec, codecName.c_str());
      for (const std::string& scaleName : options.scales) {
        const bool scaled = codec != qcclCodecNone && codec != qcclCodecBf16;
        if (!scaled && scaleName != options.scales.front()) continue;
        const std::vector<nlohmann::json> more =
            operators.run({codec, qcclEnumValue(qcclEnumScale, scaleName.c_str()), options.blockElems});
        lines.insert(lines.end(), more.begin(), more.end());
      }
    }
  }
  return lines;
}

}  // namespace qccl::memory
