// codec-bench: the rate of the host codec kernels on one core, for each instruction set that the processor has, beside memcpy's in the same
// run.
//
//   codec-bench [--block=256] [Google Benchmark's options, such as --benchmark_filter=encode/float32 or --benchmark_format=json]
//
// Time and bytes_per_second are the kernel's; bytes are those it reads plus those it writes. memcpy moves the same bytes (half read, half
// written), from and to buffers of its own, in turns with the kernel, so that both see the same state of the machine:
//   memcpy_Bps       bytes that memcpy read and wrote in a second
//   share_of_memcpy  the kernel's rate over memcpy's
// Both are medians over the run's turns. Sizes in the names are bytes of values, not of codes.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/types.hpp"
#include "quant/kernels.hpp"
#include "quant/reference.hpp"

namespace qccl::quant {
namespace {

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

enum class Work { encode, encodeStochastic, decode, decodeAdd };

struct Setup {
  const CodecKernels* kernels;
  qcclDataType_t dtype;
  Work work;
  std::size_t valueBytes;
  std::size_t blockElems;
};

// Seconds that `turns` calls take, one by one.
double secondsOf(std::size_t turns, const std::function<void()>& call) {
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < turns; ++i) call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void runBenchmark(benchmark::State& state, const Setup& setup) {
  const std::size_t elems = setup.valueBytes / typeSize(setup.dtype);
  const std::size_t codeBytes = packedBytes(elems, setup.blockElems);
  const Buffer values = makeBuffer(setup.valueBytes);
  const Buffer packed = makeBuffer(codeBytes);
  const Buffer sum = makeBuffer(setup.work == Work::decodeAdd ? elems * sizeof(float) : 0);
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < elems; ++i) storeElem(setup.dtype, values.get(), i, normal(random));

  EncodeOptions options;
  options.blockElems = setup.blockElems;
  options.stochastic = setup.work == Work::encodeStochastic;
  EncodeCounts counts;
  const auto encode = [&] { setup.kernels->encode(values.get(), elems, options, packed.get(), &counts); };
  const auto decode = [&] { setup.kernels->decode(packed.get(), elems, setup.blockElems, values.get()); };
  const auto decodeAdd = [&] { setup.kernels->decodeAdd(packed.get(), elems, setup.blockElems, reinterpret_cast<float*>(sum.get())); };
  encode();

  const bool adds = setup.work == Work::decodeAdd;
  const bool encodes = setup.work == Work::encode || setup.work == Work::encodeStochastic;
  const std::size_t bytes = adds ? codeBytes + 2 * elems * sizeof(float) : codeBytes + setup.valueBytes;
  const std::function<void()> call = adds ? std::function<void()>(decodeAdd) : encodes ? std::function<void()>(encode) : decode;

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

void registerAll(std::size_t blockElems) {
  constexpr std::pair<Work, const char*> kWorks[] = {
      {Work::encode, "encode"}, {Work::encodeStochastic, "encodeStochastic"}, {Work::decode, "decode"}, {Work::decodeAdd, "decodeAdd"}};
  for (const auto& [work, workName] : kWorks) {
    for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16, qcclFloat16}) {
      if (work == Work::decodeAdd && dtype != qcclFloat32) continue;  // sums are FP32 whatever the values are: one kernel
      for (const char* isa : {"avx512", "avx2", "baseline"}) {
        const CodecKernels* kernels = codecKernels(isa, dtype);
        if (kernels == nullptr) continue;
        for (const std::size_t valueBytes : kValueBytes) {
          const std::string name =
              std::string(workName) + "/" + enumName(qcclEnumDataType, dtype) + "/" + isa + "/" + std::to_string(valueBytes >> 10) + "KiB";
          benchmark::RegisterBenchmark(name.c_str(), runBenchmark, Setup{kernels, dtype, work, valueBytes, blockElems})
              ->UseManualTime()
              ->Unit(benchmark::kMicrosecond);
        }
      }
    }
  }
}

// Takes "--block=N" out of the arguments; 0 if it is not a valid block.
std::size_t takeBlock(int* argc, char** argv) {
  std::size_t block = 256;
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    if (std::strncmp(argv[i], "--block=", 8) == 0) {
      char* end = nullptr;
      const unsigned long value = std::strtoul(argv[i] + 8, &end, 10);
      block = *end == '\0' && isValidBlock(value) ? value : 0;
    } else {
      argv[kept++] = argv[i];
    }
  }
  argv[kept] = nullptr;
  *argc = kept;
  return block;
}

}  // namespace
}  // namespace qccl::quant

int main(int argc, char** argv) {
  const std::size_t block = qccl::quant::takeBlock(&argc, argv);
  if (block == 0) {
    std::fprintf(stderr, "codec-bench: --block must be a power of two from %zu to %zu\n", qccl::quant::kMinBlockElems,
                 qccl::quant::kMaxBlockElems);
    return 2;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  qccl::quant::registerAll(block);
  benchmark::AddCustomContext("block_elems", std::to_string(block));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
