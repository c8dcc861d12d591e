// Inputs for codec tests: ordinary values, and those that break codecs.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace qccl::test {

// What a run of values looks like.
enum class Shape {
  normal,           // N(0, 1)
  heavyTailed,      // normal times 2^k, k normal with deviation 6
  ties,             // a = 127 and every other value halfway between two codes
  zeros,            // +0 and -0
  denormals,        // below 2^-126
  oneUnit,          // +-2^-149 and zeros
  oneHuge,          // one value 2^40 times all others
  tiny,             // around 1e-38
  huge,             // around 1e+38
  maximum,          // some +-FLT_MAX
  aroundThreshold,  // largest magnitude 2^-96 and its neighbours, where the codec's tiny blocks begin
  withNan,          // normal, one NaN of any payload and sign
  withInfinity,     // normal, one +-Inf
  anyBits,          // 32 random bits each
  numShapes
};

using Random = std::mt19937_64;

// `elems` values of that shape.
std::vector<float> makeValues(Shape shape, std::size_t elems, Random& random);

// Runs of `runElems` values, each of a shape drawn at random.
std::vector<float> makeHostileValues(std::size_t elems, std::size_t runElems, Random& random);

// A buffer that an overrun is seen in: `bytes` at `alignOffset` bytes past a 64-byte boundary, between canaries.
class GuardedBuffer {
 public:
  explicit GuardedBuffer(std::size_t bytes, std::size_t alignOffset = 0, unsigned char fill = 0xcd);
  ~GuardedBuffer();
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;

  unsigned char* data() { return data_; }
  const unsigned char* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  // Whether nothing was written outside.
  bool intact() const;

 private:
  static constexpr std::size_t kGuard = 64;
  static constexpr unsigned char kCanary = 0xa5;
  unsigned char* base_;
  unsigned char* data_;
  std::size_t bytes_;
};

// `values` as an array of dtype, `alignOffset` bytes past a 64-byte boundary.
std::unique_ptr<GuardedBuffer> asType(qcclDataType_t dtype, const std::vector<float>& values, std::size_t alignOffset = 0);

std::string hex(const unsigned char* bytes, std::size_t count);

}  // namespace qccl::test
