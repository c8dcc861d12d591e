// The saved activations of a step of Llama-3-8B, layer by layer, really in a pool in GPU memory: what the pool says is in use, what the GPU
// says is gone, and how long saving and restoring took. Values come from one buffer for each shape.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <cmath>
#include <string_view>

#include "device/cuda/check.cuh"
#include "memory/cuda/activation_bench.hpp"
#include "quant/float_formats.hpp"

namespace qccl::memory {
namespace {

using bench::check;
using device::cuda::DeviceBuffer;

constexpr double kGiB = 1 << 30;
constexpr qcclDataType_t kDtype = qcclBfloat16;

std::size_t freeBytes() {
  std::size_t free = 0, total = 0;
  QCCL_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  return free;
}

qcclLlamaShape_t shapeOf(const BenchOptions& options, const std::string& plan) {
  const qcclPackedFormat_t int8 = {qcclCodecInt8, qcclScaleBfloat16, options.blockElems},
                           int4 = {qcclCodecInt4, qcclScaleBfloat16, options.blockElems}, bf16 = {qcclCodecBf16, qcclScaleFloat32, 256};
  qcclLlamaShape_t shape = QCCL_LLAMA_SHAPE_INITIALIZER;
  shape.layers = options.layers;
  shape.hidden = options.cols;
  shape.ffn = options.ffn;
  shape.headDim = 128;
  shape.heads = options.cols / shape.headDim;
  shape.kvHeads = shape.heads / 4;
  shape.seqLen = options.rows;
  shape.recompute = plan == "full" ? 0 : 1;
  shape.attention = plan == "mixed" ? int8 : plan == "int4" ? int4 : bf16;
  shape.rest = plan == "mixed" || plan == "int4" ? int4 : bf16;
  return shape;
}

bool isKind(const qcclSavedTensor_t& tensor, std::string_view kind) {
  return std::string_view(tensor.name).find("." + std::string(kind)) != std::string_view::npos;
}

// Walks over the tensors of a ledger: forward in the order of saving, then backward.
class Step {
 public:
  Step(const BenchOptions& options, qcclLedger_t ledger) {
    qcclSavedTensor_t tensor;
    for (std::size_t i = 0; qcclLedgerGetTensor(ledger, i, &tensor) == qcclSuccess; ++i) tensors_.push_back(tensor);
    const std::size_t largest = options.rows * std::max(options.cols, options.ffn);
    for (unsigned i = 0; i < 5; ++i) values_.push_back(normalValues(largest, kDtype, i + 1, stream_.handle()));
    statistics_ = normalValues(options.rows * options.cols / 128, qcclFloat32, 7, stream_.handle());
    dWeight_ = normalValues(options.cols, qcclFloat32, 8, stream_.handle());
    std::size_t scratchBytes = 0;
    check(qcclRmsNormScratchBytes(options.rows, options.cols, &scratchBytes), "qcclRmsNormScratchBytes");
    scratch_ = DeviceBuffer(scratchBytes);
    stream_.synchronize();
  }

  double save(qcclPool_t pool) {
    return timed([&] {
      for (std::size_t i = 0; i < tensors_.size(); ++i) {
        const qcclSavedTensor_t& tensor = tensors_[i];
        if (isNorm(i)) {
          check(qcclRmsNormForward(pool, 0, &tensor, &tensors_[i + 1], value(0), value(1), 1e-5f, value(2), kDtype, stream_.handle()),
                "qcclRmsNormForward");
          ++i;
        } else if (isSwiglu(i)) {
          check(qcclSwigluForward(pool, 0, &tensor, &tensors_[i + 1], value(0), value(1), value(2), kDtype, stream_.handle()),
                "qcclSwigluForward");
          ++i;
        } else {
          check(
              qcclActivationSave(pool, 0, &tensor, isStatistic(tensor) ? statistics_.data() : value(0), dtypeOf(tensor), stream_.handle()),
              "qcclActivationSave");
        }
      }
    });
  }

  double restore(qcclPool_t pool) {
    return timed([&] {
      for (std::size_t i = tensors_.size(); i-- > 0;) {
        const qcclSavedTensor_t& tensor = tensors_[i];
        if (i > 0 && isNorm(i - 1)) {
          --i;
          check(qcclRmsNormBackward(pool, 0, &tensors_[i], &tensor, value(0), value(1), value(3), reinterpret_cast<float*>(dWeight_.data()),
                                    value(2), scratch_.data(), kDtype, stream_.handle()),
                "qcclRmsNormBackward");
        } else if (i > 0 && isSwiglu(i - 1)) {
          --i;
          check(qcclSwigluBackward(pool, 0, &tensors_[i], &tensor, value(0), value(3), value(4), value(2), kDtype, stream_.handle()),
                "qcclSwigluBackward");
        } else {
          check(qcclActivationRestore(pool, 0, &tensor, isStatistic(tensor) ? statistics_.data() : value(4), dtypeOf(tensor),
                                      stream_.handle()),
                "qcclActivationRestore");
          if (isKind(tensor, "q")) error_ = relativeError(tensor.elems);  // the last is that of the first layer
        }
      }
    });
  }

  // Of what came back of q of the first layer: its root mean square over that of the values.
  double error() const { return error_; }

 private:
  void* value(std::size_t i) { return values_[i].data(); }
  static bool isStatistic(const qcclSavedTensor_t& tensor) { return tensor.format.codec == qcclCodecNone; }
  static qcclDataType_t dtypeOf(const qcclSavedTensor_t& tensor) { return isStatistic(tensor) ? qcclFloat32 : kDtype; }
  bool isNorm(std::size_t i) const { return isKind(tensors_[i], "xhat") && i + 1 < tensors_.size() && isKind(tensors_[i + 1], "rstd"); }
  bool isSwiglu(std::size_t i) const { return isKind(tensors_[i], "gate") && i + 1 < tensors_.size() && isKind(tensors_[i + 1], "up"); }

  template <typename Work>
  double timed(Work work) {
    device::cuda::Event start, end;
    start.record(stream_.handle());
    work();
    end.record(stream_.handle());
    stream_.synchronize();
    return end.secondsSince(start);
  }

  double relativeError(std::size_t elems) {
    const std::size_t looked = std::min<std::size_t>(elems, 1 << 16);
    std::vector<std::uint16_t> before(looked), after(looked);
    device::cuda::copyAsync(before.data(), value(0), 2 * looked, stream_.handle());
    device::cuda::copyAsync(after.data(), value(4), 2 * looked, stream_.handle());
    stream_.synchronize();
    double errors = 0, squares = 0;
    for (std::size_t i = 0; i < looked; ++i) {
      const double x = quant::fromBfloat16(before[i]), y = quant::fromBfloat16(after[i]);
      errors += (x - y) * (x - y);
      squares += x * x;
    }
    return std::sqrt(errors / squares);
  }

  device::cuda::Stream stream_;
  std::vector<qcclSavedTensor_t> tensors_;
  std::vector<DeviceBuffer> values_;
  DeviceBuffer statistics_{0}, dWeight_{0}, scratch_{0};
  double error_ = 0;
};

}  // namespace

std::vector<nlohmann::json> benchPlans(const BenchOptions& options) {
  fmt::print("\nsaved activations of {} layers, {} tokens, in a pool in GPU memory\n", options.layers, options.rows);
  fmt::print("{:<8} {:>8} {:>16} {:>10} {:>16} {:>10} {:>10} {:>11} {:>12}\n", "plan", "tensors", "in the pool, B", "GiB", "of the GPU, B",
             "GiB", "save ms", "restore ms", "error of q");
  std::vector<nlohmann::json> lines;
  for (const std::string& plan : options.plans) {
    const qcclLlamaShape_t shape = shapeOf(options, plan);
    const LedgerHandle ledger;
    check(qcclLedgerAddLlama(ledger.get(), &shape), "qcclLedgerAddLlama");
    qcclLedgerTotals_t totals;
    check(qcclLedgerGetTotals(ledger.get(), &totals), "qcclLedgerGetTotals");
    Step step(options, ledger.get());
    const std::size_t freeBefore = freeBytes();
    const PlannedOnGpu pool(ledger.get(), 1);
    const std::size_t taken = freeBefore - freeBytes();
    for (const bool warm : {false, true}) {  // the first time kernels are loaded
      const double saveSeconds = step.save(pool.get());
      qcclPoolStats_t stats{};
      stats.size = sizeof stats;
      check(qcclPoolGetStats(pool.get(), &stats), "qcclPoolGetStats");
      const double restoreSeconds = step.restore(pool.get());
      if (!warm) continue;
      fmt::print("{:<8} {:>8} {:>16} {:>10.3f} {:>16} {:>10.3f} {:>10.2f} {:>11.2f} {:>12.2e}\n", plan, totals.tensors, stats.usedBytes,
                 static_cast<double>(stats.usedBytes) / kGiB, taken, static_cast<double>(taken) / kGiB, saveSeconds * 1e3,
                 restoreSeconds * 1e3, step.error());
      lines.push_back({{"plan", plan},
                       {"layers", options.layers},
                       {"tokens", options.rows},
                       {"tensors", totals.tensors},
                       {"pool_used_bytes", stats.usedBytes},
                       {"pool_reserved_bytes", stats.reservedBytes},
                       {"gpu_taken_bytes", taken},
                       {"save_seconds", saveSeconds},
                       {"restore_seconds", restoreSeconds},
                       {"error_of_q", step.error()}});
    }
  }
  return lines;
}

}  // namespace qccl::memory
