// codec-bench-cuda: the rate of the codec kernels on a CUDA device, beside that of the device's own copy in the same run.
//
//   codec-bench-cuda [--codec=int8] [--scale=float32] [--block=256] [Google Benchmark's options, such as --benchmark_filter=encode/float32]
//
// Time and bytes_per_second are the kernel's, by the device's clock; bytes are those it reads plus those it writes, each once. The copy
// (cudaMemcpyAsync within the device) moves the same bytes, half read and half written, in turns with the kernel:
//   copy_Bps       bytes that the copy read and wrote in a second
//   share_of_copy  the kernel's rate over the copy's
// Both are medians over the run's turns. A turn goes round buffers that together are several times the device's cache, so that all bytes
// come from memory and go there. Sizes in the names are bytes of values, not of codes.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "codec/format_option.hpp"
#include "codec/work.hpp"
#include "common/median.hpp"
#include "core/types.hpp"
#include "device/cuda/devices.hpp"
#include "device/cuda/memory.hpp"
#include "device/cuda/stream.hpp"
#include "quant/cuda/kernels.hpp"
#include "quant/reference.hpp"

namespace qccl::quant {
namespace {

using bench::median;
using device::cuda::copyAsync;
using device::cuda::DeviceBuffer;

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kValueBytes[] = {16 * kMiB, 64 * kMiB, 256 * kMiB, 1024 * kMiB};
// The buffers of a turn, and what a turn moves at least: long enough that the clock's grain and the first launch do not show.
constexpr std::size_t kFootprintBytes = 1024 * kMiB;
constexpr std::size_t kTurnBytes = 4096 * kMiB;

struct Setup {
  const cuda::CodecKernels* kernels;
  qcclDataType_t dtype;
  Work work;
  std::size_t valueBytes;
  PackedFormat format;
};

// Normal values, a few MiB of them made on the host and then repeated.
void fillWithValues(DeviceBuffer* buffer, qcclDataType_t dtype, device::StreamHandle stream) {
  const std::size_t part = std::min(buffer->bytes(), 4 * kMiB);
  std::vector<unsigned char> values(part);
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < part / typeSize(dtype); ++i) storeElem(dtype, values.data(), i, normal(random));
  for (std::size_t at = 0; at < buffer->bytes(); at += part)
    copyAsync(buffer->data() + at, at == 0 ? values.data() : buffer->data(), std::min(part, buffer->bytes() - at), stream);
}

// What one call works on.
struct Buffers {
  DeviceBuffer values;
  DeviceBuffer packed;
  DeviceBuffer residual;
};

void runBenchmark(benchmark::State& state, const Setup& setup) {
  const std::size_t elems = setup.valueBytes / typeSize(setup.dtype);
  const std::size_t bytes = movedBytes(setup.work, elems, setup.valueBytes, setup.format);
  const bool feedback = setup.work == Work::encodeFeedback;
  device::cuda::Stream stream;
  const device::StreamHandle handle = stream.handle();
  DeviceBuffer counts(sizeof(EncodeCounts));
  EncodeOptions options;
  options.format = setup.format;
  options.stochastic = setup.work == Work::encodeStochastic;
  options.countLosses = true;
  EncodeCounts* const counted = setup.work == Work::encodeCounted ? reinterpret_cast<EncodeCounts*>(counts.data()) : nullptr;

  std::vector<Buffers> sets;
  std::vector<std::pair<DeviceBuffer, DeviceBuffer>> copies;
  for (std::size_t i = 0; i < std::max<std::size_t>(2, kFootprintBytes / bytes); ++i) {
    sets.push_back({DeviceBuffer(setup.valueBytes), DeviceBuffer(packedBytes(elems, setup.format)),
                    DeviceBuffer(feedback ? packedBytes(elems, residualFormat(setup.format.blockElems)) : 0)});
    copies.emplace_back(DeviceBuffer(bytes / 2), DeviceBuffer(bytes / 2));
    Buffers& set = sets.back();
    fillWithValues(&set.values, setup.dtype, handle);
    setup.kernels->encode(set.values.data(), elems, options, set.packed.data(), nullptr, handle);
    if (feedback) device::cuda::fillAsync(set.residual.data(), 0, set.residual.bytes(), handle);
    device::cuda::fillAsync(copies.back().first.data(), 0x5a, bytes / 2, handle);
  }

  const auto call = [&](Buffers& set) {
    switch (setup.work) {
      case Work::decode:
        return setup.kernels->decode(set.packed.data(), elems, setup.format, set.values.data(), handle);
      case Work::decodeAdd:
        return setup.kernels->decodeAdd(set.packed.data(), elems, setup.format, reinterpret_cast<float*>(set.values.data()), handle);
      case Work::addEncode:
        return setup.kernels->addEncode(set.packed.data(), set.values.data(), elems, options, set.packed.data(), counted, handle);
      case Work::encodeFeedback:
        return setup.kernels->encodeFeedback(set.values.data(), elems, options, set.residual.data(), set.packed.data(), counted, handle);
      default:
        return setup.kernels->encode(set.values.data(), elems, options, set.packed.data(), counted, handle);
    }
  };

  const std::size_t calls = std::max(sets.size(), kTurnBytes / bytes);
  device::cuda::Event start, copied, end;
  std::vector<double> copySeconds, kernelSeconds;
  const auto turn = [&] {
    start.record(handle);
    for (std::size_t i = 0; i < calls; ++i)
      copyAsync(copies[i % sets.size()].second.data(), copies[i % sets.size()].first.data(), bytes / 2, handle);
    copied.record(handle);
    for (std::size_t i = 0; i < calls; ++i) call(sets[i % sets.size()]);
    end.record(handle);
    stream.synchronize();
    copySeconds.push_back(copied.secondsSince(start) / static_cast<double>(calls));
    kernelSeconds.push_back(end.secondsSince(copied) / static_cast<double>(calls));
  };
  for (int i = 0; i < 3; ++i) turn();  // loads the kernels, wakes the device
  copySeconds.clear();
  kernelSeconds.clear();
  for (auto _ : state) {
    turn();
    state.SetIterationTime(kernelSeconds.back());
  }
  const double kernelTime = median(kernelSeconds);
  const double copyTime = median(copySeconds);
  const auto rate = [&](double seconds) {
    return benchmark::Counter(static_cast<double>(bytes) / seconds, benchmark::Counter::kDefaults, benchmark::Counter::kIs1000);
  };
  state.counters["kernel_Bps"] = rate(kernelTime);
  state.counters["copy_Bps"] = rate(copyTime);
  state.counters["share_of_copy"] = copyTime / kernelTime;
}

void registerAll(const PackedFormat& format) {
  forEachWork([&](Work work, const std::string& workName, qcclDataType_t dtype) {
    for (const std::size_t valueBytes : kValueBytes) {
      const std::string name = workName + "/" + enumName(qcclEnumDataType, dtype) + "/" + std::to_string(valueBytes / kMiB) + "MiB";
      benchmark::RegisterBenchmark(name.c_str(), runBenchmark,
                                   Setup{cuda::codecKernels(format.codec, dtype), dtype, work, valueBytes, format})
          ->UseManualTime()
          ->Iterations(15)
          ->Unit(benchmark::kMicrosecond);
    }
  });
}

}  // namespace
}  // namespace qccl::quant

int main(int argc, char** argv) {
  using namespace qccl;
  quant::PackedFormat format;
  if (!quant::takeFormat("codec-bench-cuda", &argc, argv, &format)) return 2;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  if (const std::string whyNot = device::cuda::whyNoDevice(); !whyNot.empty()) {
    std::fprintf(stderr, "codec-bench-cuda: %s\n", whyNot.c_str());
    return 1;
  }
  quant::registerAll(format);
  benchmark::AddCustomContext("device", device::cuda::deviceInfo(0).name);
  benchmark::AddCustomContext("codec", enumName(qcclEnumCodec, format.codec));
  benchmark::AddCustomContext("scale", enumName(qcclEnumScale, format.scale));
  benchmark::AddCustomContext("block_elems", std::to_string(format.blockElems));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
