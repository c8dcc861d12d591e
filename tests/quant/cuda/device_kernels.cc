#include "quant/cuda/device_kernels.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/types.hpp"
#include "device/cuda/memory.hpp"
#include "device/cuda/stream.hpp"
#include "quant/cuda/kernels.hpp"

namespace qccl::test {
namespace {

using quant::EncodeCounts;
using quant::EncodeOptions;
using quant::PackedFormat;

constexpr std::size_t kAlign = 64;
constexpr std::size_t kGuard = 256;
constexpr unsigned char kCanary = 0xa5;

// The device's copy of a host buffer while a kernel runs, between canaries.
class Mirror {
 public:
  Mirror(void* host, std::size_t bytes, device::StreamHandle stream) : Mirror(static_cast<const void*>(host), bytes, stream) {
    writable_ = static_cast<unsigned char*>(host);
  }

  Mirror(const void* host, std::size_t bytes, device::StreamHandle stream)
      : bytes_(bytes),
        before_(kGuard + reinterpret_cast<std::uintptr_t>(host) % kAlign),
        buffer_(before_ + bytes + kGuard),
        image_(buffer_.bytes(), kCanary) {
    const auto* from = static_cast<const unsigned char*>(host);
    std::copy(from, from + bytes, image_.begin() + static_cast<std::ptrdiff_t>(before_));
    device::cuda::copyAsync(buffer_.data(), image_.data(), image_.size(), stream);
  }

  unsigned char* data() { return buffer_.data() + before_; }

  // After the kernel: takes the contents back, or, if the host's buffer is constant, sees that they are what they were.
  void finish(device::cuda::Stream& stream) {
    std::vector<unsigned char> after(image_.size());
    device::cuda::copyAsync(after.data(), buffer_.data(), after.size(), stream.handle());
    stream.synchronize();
    const auto begin = after.begin() + static_cast<std::ptrdiff_t>(before_);
    const auto end = begin + static_cast<std::ptrdiff_t>(bytes_);
    const auto untouched = [](unsigned char byte) { return byte == kCanary; };
    EXPECT_TRUE(std::all_of(after.begin(), begin, untouched)) << "the kernel wrote before a buffer of " << bytes_ << " bytes";
    EXPECT_TRUE(std::all_of(end, after.end(), untouched)) << "the kernel wrote behind a buffer of " << bytes_ << " bytes";
    if (writable_ != nullptr) {
      std::copy(begin, end, writable_);
    } else {
      EXPECT_EQ(after, image_) << "the kernel wrote to its input";
    }
  }

 private:
  std::size_t bytes_;
  std::size_t before_;
  device::cuda::DeviceBuffer buffer_;
  std::vector<unsigned char> image_;
  unsigned char* writable_ = nullptr;
};

template <qcclDataType_t kType>
struct OnDevice {
  static const quant::cuda::CodecKernels& kernels(qcclCodec_t codec) { return *quant::cuda::codecKernels(codec, kType); }

  static void encode(const void* x, std::size_t elems, const EncodeOptions& options, void* packed, EncodeCounts* counts) {
    device::cuda::Stream stream;
    Mirror in(x, elems * typeSize(kType), stream.handle());
    Mirror out(packed, packedBytes(elems, options.format), stream.handle());
    Mirror sums(static_cast<void*>(counts), sizeof *counts, stream.handle());
    kernels(options.format.codec)
        .encode(in.data(), elems, options, out.data(), reinterpret_cast<EncodeCounts*>(sums.data()), stream.handle());
    for (Mirror* mirror : {&in, &out, &sums}) mirror->finish(stream);
  }

  static void decode(const void* packed, std::size_t elems, const PackedFormat& format, void* out) {
    device::cuda::Stream stream;
    Mirror in(packed, packedBytes(elems, format), stream.handle());
    Mirror values(out, elems * typeSize(kType), stream.handle());
    kernels(format.codec).decode(in.data(), elems, format, values.data(), stream.handle());
    for (Mirror* mirror : {&in, &values}) mirror->finish(stream);
  }

  static void decodeAdd(const void* packed, std::size_t elems, const PackedFormat& format, float* sum) {
    device::cuda::Stream stream;
    Mirror in(packed, packedBytes(elems, format), stream.handle());
    Mirror sums(static_cast<void*>(sum), elems * sizeof(float), stream.handle());
    kernels(format.codec).decodeAdd(in.data(), elems, format, reinterpret_cast<float*>(sums.data()), stream.handle());
    for (Mirror* mirror : {&in, &sums}) mirror->finish(stream);
  }

  // The counts are left out when in place, so that the kernel also runs without.
  static void addEncode(const void* packedIn, const void* x, std::size_t elems, const EncodeOptions& options, void* packed,
                        EncodeCounts* counts) {
    device::cuda::Stream stream;
    Mirror values(x, elems * typeSize(kType), stream.handle());
    Mirror out(packed, packedBytes(elems, options.format), stream.handle());
    const auto& run = kernels(options.format.codec).addEncode;
    if (packedIn == packed) {
      run(out.data(), values.data(), elems, options, out.data(), nullptr, stream.handle());
    } else {
      Mirror in(packedIn, packedBytes(elems, options.format), stream.handle());
      Mirror sums(static_cast<void*>(counts), sizeof *counts, stream.handle());
      run(in.data(), values.data(), elems, options, out.data(), reinterpret_cast<EncodeCounts*>(sums.data()), stream.handle());
      for (Mirror* mirror : {&in, &sums}) mirror->finish(stream);
    }
    for (Mirror* mirror : {&values, &out}) mirror->finish(stream);
  }

  static void encodeFeedback(const void* x, std::size_t elems, const EncodeOptions& options, void* residual, void* packed,
                             EncodeCounts* counts) {
    device::cuda::Stream stream;
    Mirror values(x, elems * typeSize(kType), stream.handle());
    Mirror rest(residual, packedBytes(elems, quant::residualFormat(options.format.blockElems)), stream.handle());
    Mirror out(packed, packedBytes(elems, options.format), stream.handle());
    Mirror sums(static_cast<void*>(counts), sizeof *counts, stream.handle());
    kernels(options.format.codec)
        .encodeFeedback(values.data(), elems, options, rest.data(), out.data(), reinterpret_cast<EncodeCounts*>(sums.data()),
                        stream.handle());
    for (Mirror* mirror : {&values, &rest, &out, &sums}) mirror->finish(stream);
  }

  static constexpr quant::CodecKernels kTable = {encode, decode, decodeAdd, addEncode, encodeFeedback};
};

}  // namespace

const quant::CodecKernels* deviceKernels(qcclDataType_t dtype) {
  switch (dtype) {
    case qcclFloat32:
      return &OnDevice<qcclFloat32>::kTable;
    case qcclBfloat16:
      return &OnDevice<qcclBfloat16>::kTable;
    case qcclFloat16:
      return &OnDevice<qcclFloat16>::kTable;
    default:
      return nullptr;
  }
}

}  // namespace qccl::test
