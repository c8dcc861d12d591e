// codec-bench: the rate of the host codec kernels on one core, for each instruction set that the processor has, beside memcpy's in the same
// run.
//
//   codec-bench [--codec=int8] [--scale=float32] [--block=256] [Google Benchmark's options, such as --benchmark_filter=encode/float32 or
//   --benchmark_format=json]
//
// Time and bytes_per_second are the kernel's; bytes are those it reads plus those it writes. memcpy moves the same bytes (half read, half
// written), from and to buffers of its own, in turns with the kernel, so that both see the same state of the machine:
//   memcpy_Bps       bytes that memcpy read and wrote in a second
//   share_of_memcpy  the kernel's rate over memcpy's
// Both are medians over the run's turns. Sizes in the names are bytes of values, not of codes.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "codec/format_option.hpp"
#include "codec/work.hpp"
#include "common/median.hpp"
#include "core/types.hpp"
#include "quant/kernels.hpp"
#include "quant/reference.hpp"

namespace qccl::quant {
namespace {

using bench::median;

// A turn of kernel or memcpy moves at least this much, so that reading the clock costs nothing and small buffers are measured from the
// caches in which they would be found.
constexpr std::size_t kTurnBytes = std::size_t{4} << 20;

constexpr std::size_t kValueBytes[] = {std::size_t{64} << 10, std::size_t{1} << 20, std::size_t{16} << 20, std::size_t{64} << 20};

struct FreeDeleter {
  void operator()(void* p) const { std::free(p); }
};
using Buffer = std::unique_ptr<unsigned char, FreeDeleter>;

// Page-aligned and written once, so that every page exists.
Buffer makeBuffer(std::size_t bytes) {
  constexpr std::size_t kPage = 4096;
  const std::size_t whole = (bytes / kPage + 1) * kPage;
  Buffer buffer(static_cast<unsigned char*>(std::aligned_alloc(kPage, whole)));
  if (buffer == nullptr) {
    std::fprintf(stderr, "codec-bench: no memory for %zu bytes\n", bytes);
    std::exit(1);
  }
  std::memset(buffer.get(), 0, whole);
  return buffer;
}

struct Setup {
  const CodecKernels* kernels;
  qcclDataType_t dtype;
  Work work;
  std::size_t valueBytes;
  PackedFormat format;
};

// Seconds that `turns` calls take, one by one.
double secondsOf(std::size_t turns, const std::function<void()>& call) {
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < turns; ++i) call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void runBenchmark(benchmark::State& state, const Setup& setup) {
  const std::size_t elems = setup.valueBytes / typeSize(setup.dtype);
  const std::size_t codeBytes = packedBytes(elems, setup.format);
  const Buffer values = makeBuffer(setup.valueBytes);
  const Buffer packed = makeBuffer(codeBytes);
  const Buffer sum = makeBuffer(setup.work == Work::decodeAdd ? elems * sizeof(float) : 0);
  const std::size_t residualBytes = packedBytes(elems, residualFormat(setup.format.blockElems));
  const Buffer residual = makeBuffer(residualBytes);
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < elems; ++i) storeElem(setup.dtype, values.get(), i, normal(random));

  EncodeOptions options;
  options.format = setup.format;
  options.stochastic = setup.work == Work::encodeStochastic;
  options.countLosses = setup.work == Work::encodeCounted;
  EncodeCounts counts;
  const auto encode = [&] { setup.kernels->encode(values.get(), elems, options, packed.get(), &counts); };
  const auto decode = [&] { setup.kernels->decode(packed.get(), elems, setup.format, values.get()); };
  const auto decodeAdd = [&] { setup.kernels->decodeAdd(packed.get(), elems, setup.format, reinterpret_cast<float*>(sum.get())); };
  const auto addEncode = [&] { setup.kernels->addEncode(packed.get(), values.get(), elems, options, packed.get(), &counts); };
  const auto encodeFeedback = [&] { setup.kernels->encodeFeedback(values.get(), elems, options, residual.get(), packed.get(), &counts); };
  encode();

  std::function<void()> call = encode;
  if (setup.work == Work::decode) call = decode;
  if (setup.work == Work::decodeAdd) call = decodeAdd;
  if (setup.work == Work::addEncode) call = addEncode;
  if (setup.work == Work::encodeFeedback) call = encodeFeedback;

  const std::size_t bytes = movedBytes(setup.work, elems, setup.valueBytes, setup.format);
  const Buffer from = makeBuffer(bytes / 2);
  const Buffer to = makeBuffer(bytes / 2);
  const auto copy = [&] {
    std::memcpy(to.get(), from.get(), bytes / 2);
    benchmark::ClobberMemory();
  };

  const std::size_t turns = (kTurnBytes + bytes - 1) / bytes;
  std::vector<double> kernelSeconds;
  std::vector<double> copySeconds;
  for (auto _ : state) {
    copySeconds.push_back(secondsOf(turns, copy) / static_cast<double>(turns));
    kernelSeconds.push_back(secondsOf(turns, call) / static_cast<double>(turns));
    state.SetIterationTime(kernelSeconds.back());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(static_cast<std::uint64_t>(state.iterations()) * bytes));
  state.counters["memcpy_Bps"] =
      benchmark::Counter(static_cast<double>(bytes) / median(copySeconds), benchmark::Counter::kDefaults, benchmark::Counter::kIs1024);
  state.counters["share_of_memcpy"] = median(copySeconds) / median(kernelSeconds);
}

void registerAll(const PackedFormat& format) {
  forEachWork([&](Work work, const std::string& workName, qcclDataType_t dtype) {
    for (const char* isa : {"avx512", "avx2", "baseline"}) {
      const CodecKernels* kernels = codecKernels(isa, format.codec, dtype);
      if (kernels == nullptr) continue;
      for (const std::size_t valueBytes : kValueBytes) {
        const std::string name =
            workName + "/" + enumName(qcclEnumDataType, dtype) + "/" + isa + "/" + std::to_string(valueBytes >> 10) + "KiB";
        benchmark::RegisterBenchmark(name.c_str(), runBenchmark, Setup{kernels, dtype, work, valueBytes, format})
            ->UseManualTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
  });
}

}  // namespace
}  // namespace qccl::quant

int main(int argc, char** argv) {
  qccl::quant::PackedFormat format;
  if (!qccl::quant::takeFormat("codec-bench", &argc, argv, &format)) return 2;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  qccl::quant::registerAll(format);
  benchmark::AddCustomContext("codec", qccl::enumName(qcclEnumCodec, format.codec));
  benchmark::AddCustomContext("scale", qccl::enumName(qcclEnumScale, format.scale));
  benchmark::AddCustomContext("block_elems", std::to_string(format.blockElems));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
