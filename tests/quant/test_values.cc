#include "quant/test_values.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <new>

#include "core/types.hpp"
#include "quant/reference.hpp"

namespace qccl::test {
namespace {

float fromBits(std::uint32_t bits) { return std::bit_cast<float>(bits); }

float signedBy(std::uint64_t bit, float x) { return (bit & 1) != 0 ? -x : x; }

float normal(Random& random) { return std::normal_distribution<float>()(random); }

}  // namespace

std::vector<float> makeValues(Shape shape, std::size_t elems, Random& random) {
  std::vector<float> values(elems);
  const std::size_t special = elems == 0 ? 0 : random() % elems;
  for (std::size_t i = 0; i < elems; ++i) {
    const std::uint64_t bits = random();
    float& x = values[i];
    switch (shape) {
      case Shape::normal:
        x = normal(random);
        break;
      case Shape::heavyTailed:
        x = normal(random) * std::exp2(6.0f * normal(random));
        break;
      case Shape::ties:
        x = i == 0 ? 127.0f : signedBy(bits >> 32, static_cast<float>(bits % 127) + (i % 2 == 0 ? 0.5f : 0.0f));
        break;
      case Shape::zeros:
        x = signedBy(bits, 0.0f);
        break;
      case Shape::denormals:
        x = signedBy(bits >> 32, fromBits(static_cast<std::uint32_t>(bits) & 0x7fffff));
        break;
      case Shape::oneUnit:
        x = bits % 3 == 0 ? signedBy(bits >> 32, 0x1p-149f) : 0.0f;
        break;
      case Shape::oneHuge:
        x = normal(random) * (i == special ? 0x1p40f : 1.0f);
        break;
      case Shape::tiny:
        x = normal(random) * 1e-38f;
        break;
      case Shape::huge:
        x = std::clamp(normal(random), -3.0f, 3.0f) * 1e38f;
        break;
      case Shape::maximum:
        x = i == special || bits % 4 == 0 ? signedBy(bits >> 32, std::numeric_limits<float>::max()) : normal(random) * 1e37f;
        break;
      case Shape::aroundThreshold:
        // The run's largest magnitude is one below, at or one above the threshold, by the place of the special element.
        x = i == special ? signedBy(bits, fromBits(((127u - 96u) << 23) - 1u + static_cast<std::uint32_t>(special % 3)))
                         : 0x1p-97f * std::clamp(normal(random), -1.0f, 1.0f);
        break;
      case Shape::withNan:
        x = i == special
                ? fromBits(0x7f800001u + static_cast<std::uint32_t>(bits % 0x7fffff) + static_cast<std::uint32_t>(bits >> 63 << 31))
                : normal(random);
        break;
      case Shape::withInfinity:
        x = i == special ? signedBy(bits, std::numeric_limits<float>::infinity()) : normal(random);
        break;
      case Shape::anyBits:
        x = fromBits(static_cast<std::uint32_t>(bits));
        break;
      case Shape::numShapes:
        break;
    }
  }
  return values;
}

std::vector<float> makeHostileValues(std::size_t elems, std::size_t runElems, Random& random) {
  std::vector<float> values;
  values.reserve(elems);
  while (values.size() < elems) {
    const auto shape = static_cast<Shape>(random() % static_cast<std::uint64_t>(Shape::numShapes));
    const std::vector<float> run = makeValues(shape, std::min(runElems, elems - values.size()), random);
    values.insert(values.end(), run.begin(), run.end());
  }
  return values;
}

GuardedBuffer::GuardedBuffer(std::size_t bytes, std::size_t alignOffset, unsigned char fill)
    : base_(static_cast<unsigned char*>(::operator new (kGuard + alignOffset + bytes + kGuard, std::align_val_t{64}))),
      data_(base_ + kGuard + alignOffset),
      bytes_(bytes) {
  std::memset(base_, kCanary, kGuard + alignOffset + bytes + kGuard);
  std::memset(data_, fill, bytes);
}

GuardedBuffer::~GuardedBuffer() { ::operator delete (base_, std::align_val_t{64}); }

bool GuardedBuffer::intact() const {
  const auto untouched = [](unsigned char byte) { return byte == kCanary; };
  return std::all_of(base_, data_, untouched) && std::all_of(data_ + bytes_, data_ + bytes_ + kGuard, untouched);
}

std::unique_ptr<GuardedBuffer> asType(qcclDataType_t dtype, const std::vector<float>& values, std::size_t alignOffset) {
  auto buffer = std::make_unique<GuardedBuffer>(values.size() * typeSize(dtype), alignOffset);
  for (std::size_t i = 0; i < values.size(); ++i) quant::storeElem(dtype, buffer->data(), i, values[i]);
  return buffer;
}

std::string hex(const unsigned char* bytes, std::size_t count) {
  std::string text;
  char digits[4];
  for (std::size_t i = 0; i < count; ++i) {
    std::snprintf(digits, sizeof digits, i + 1 < count ? "%02x " : "%02x", bytes[i]);
    text += digits;
  }
  return text;
}

}  // namespace qccl::test
