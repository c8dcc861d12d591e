// Saving, restoring and the fused operators as cases that run the same on host and on GPU memory: what they leave, byte by byte.
#pragma once

#include <gtest/gtest.h>
#include <qccl/fused.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "api/rank_threads.hpp"
#include "quant/test_values.hpp"

namespace qccl::test {

using Bytes = std::vector<char>;

// Everything that a case leaves: codes, scales, values.
using Left = std::vector<std::pair<std::string, Bytes>>;

inline Bytes hostileBytes(qcclDataType_t dtype, std::size_t elems, std::size_t runElems, unsigned seed) {
  Random random(seed);
  const auto values = asType(dtype, makeHostileValues(elems, runElems, random));
  return {values->data(), values->data() + values->bytes()};
}

inline Bytes normalBytes(qcclDataType_t dtype, std::size_t elems, unsigned seed) {
  Random random(seed);
  const auto values = asType(dtype, makeValues(Shape::normal, elems, random));
  return {values->data(), values->data() + values->bytes()};
}

// Host memory; a GPU's has the same members.
class HostMachine {
 public:
  static constexpr int kMemory = qcclMemoryHost;

  class Buffer {
   public:
    Buffer(HostMachine&, const Bytes& contents, std::size_t offset) : buffer_(contents.size(), offset) {
      std::copy(contents.begin(), contents.end(), buffer_.data());
    }
    void* data() { return buffer_.data(); }
    Bytes read() {
      EXPECT_TRUE(buffer_.intact()) << "written beside a buffer of " << buffer_.bytes() << " bytes";
      return {buffer_.data(), buffer_.data() + buffer_.bytes()};
    }

   private:
    GuardedBuffer buffer_;
  };

  void* stream() { return nullptr; }
  Bytes read(const void* memory, std::size_t bytes) {
    const auto* begin = static_cast<const char*>(memory);
    return {begin, begin + bytes};
  }
  void write(void* memory, const Bytes& contents) { std::copy(contents.begin(), contents.end(), static_cast<char*>(memory)); }
};

// A pool for some tensors, between two more that nobody may write to.
template <typename Machine>
class CasePool {
 public:
  CasePool(Machine& machine, std::vector<qcclSavedTensor_t> tensors, bool planned) : machine_(machine) {
    const qcclSavedTensor_t before{"before", 64, {qcclCodecNone, 0, 0}, qcclUint8}, behind{"behind", 64, {qcclCodecNone, 0, 0}, qcclUint8};
    tensors.insert(tensors.begin(), before);
    tensors.push_back(behind);
    qcclLedger_t ledger = nullptr;
    QCCL_EXPECT_OK(qcclLedgerCreate(&ledger));
    for (const qcclSavedTensor_t& tensor : tensors) QCCL_EXPECT_OK(qcclLedgerAdd(ledger, &tensor));
    qcclPoolConfig_t config = QCCL_POOL_CONFIG_INITIALIZER;
    config.ledger = planned ? ledger : nullptr;
    config.memory = Machine::kMemory;
    config.segmentBytes = std::size_t{1} << 20;
    QCCL_EXPECT_OK(qcclPoolCreate(&pool_, &config));
    QCCL_EXPECT_OK(qcclLedgerDestroy(ledger));
    // A micro-batch before leaves a pattern everywhere: what is not written is seen.
    for (const qcclSavedTensor_t& tensor : tensors) {
      qcclPlace_t place{};
      QCCL_EXPECT_OK(qcclPoolSave(pool_, 0, &tensor, machine_.stream(), &place));
      machine_.write(place.codes, Bytes(place.codeBytes, kPattern));
      if (place.scaleBytes > 0) machine_.write(place.scales, Bytes(place.scaleBytes, kPattern));
    }
    QCCL_EXPECT_OK(qcclPoolDiscard(pool_, 0));
    saveGuard(before, planned);
    behind_ = behind;
    planned_ = planned;
  }
  ~CasePool() { QCCL_EXPECT_OK(qcclPoolDestroy(pool_)); }
  CasePool(const CasePool&) = delete;
  CasePool& operator=(const CasePool&) = delete;

  qcclPool_t get() const { return pool_; }
  static constexpr std::uint64_t kMicroBatch = 1;

  // After all has been saved: the codes and scales of a tensor.
  void collect(const char* name, Left* left) {
    qcclPlace_t place{};
    QCCL_EXPECT_OK(qcclPoolPeek(pool_, kMicroBatch, name, machine_.stream(), &place));
    left->emplace_back(std::string(name) + " codes", machine_.read(place.codes, place.codeBytes));
    left->emplace_back(std::string(name) + " scales", machine_.read(place.scales, place.scaleBytes));
  }

  // Sees that nothing beside was written, and makes way for restoring.
  void checkGuards() {
    saveGuard(behind_, planned_);
    qcclPlace_t place{};
    QCCL_EXPECT_OK(qcclPoolPeek(pool_, kMicroBatch, "before", machine_.stream(), &place));
    if (planned_) {
      EXPECT_EQ(machine_.read(place.codes, place.codeBytes), Bytes(place.codeBytes, kPattern)) << "written before the tensors";
    }
    QCCL_EXPECT_OK(qcclPoolRestore(pool_, kMicroBatch, "behind", machine_.stream(), &place));
  }

 private:
  static constexpr char kPattern = 0x5a;

  // Of a pool without a plan it is not known what was there before.
  void saveGuard(const qcclSavedTensor_t& guard, bool planned) {
    qcclPlace_t place{};
    QCCL_EXPECT_OK(qcclPoolSave(pool_, kMicroBatch, &guard, machine_.stream(), &place));
    if (planned) {
      EXPECT_EQ(machine_.read(place.codes, place.codeBytes), Bytes(place.codeBytes, kPattern)) << guard.name << " was written to";
    }
  }

  Machine& machine_;
  qcclPool_t pool_ = nullptr;
  qcclSavedTensor_t behind_{};
  bool planned_ = true;
};

struct FusedCase {
  qcclDataType_t dtype = qcclFloat32;
  qcclPackedFormat_t format{};  // of what is saved
  qcclPackedFormat_t second{};  // of up
  std::size_t rows = 1, cols = 1;
  std::size_t offset = 0;  // of values, in bytes past an aligned address
  bool planned = true;
  bool hostile = true;
  bool inPlace = false;  // of the norm
  unsigned seed = 1;

  std::size_t elems() const { return rows * cols; }
  Bytes values(std::size_t count, unsigned number) const {
    return hostile ? hostileBytes(dtype, count, cols, 10 * seed + number) : normalBytes(dtype, count, 10 * seed + number);
  }
  Bytes nothing(std::size_t count) const { return Bytes(count * qcclTypeSize(dtype), 0x33); }
  qcclSavedTensor_t tensor(const char* name, const qcclPackedFormat_t& as) const { return {name, elems(), as, dtype}; }
};

inline std::string nameOf(const FusedCase& c) {
  const auto name = [](const qcclPackedFormat_t& f) {
    return std::string(qcclEnumName(qcclEnumCodec, f.codec)) + "/" + std::to_string(f.blockElems) + "/" +
           (f.codec == qcclCodecNone ? "" : qcclEnumName(qcclEnumScale, f.scale));
  };
  return name(c.format) + " and " + name(c.second) + ", " + qcclEnumName(qcclEnumDataType, c.dtype) + ", " + std::to_string(c.rows) +
         " x " + std::to_string(c.cols) + ", offset " + std::to_string(c.offset) + (c.planned ? "" : ", no plan") +
         (c.hostile ? ", hostile" : "") + (c.inPlace ? ", in place" : "") + ", seed " + std::to_string(c.seed);
}

// Values saved and restored.
template <typename Machine>
Left runSaveRestore(Machine& machine, const FusedCase& c) {
  const qcclSavedTensor_t tensor = c.tensor("x", c.format);
  CasePool<Machine> pool(machine, {tensor}, c.planned);
  typename Machine::Buffer values(machine, c.values(c.elems(), 0), c.offset), back(machine, c.nothing(c.elems()), c.offset);
  Left left;
  QCCL_EXPECT_OK(qcclActivationSave(pool.get(), 1, &tensor, values.data(), c.dtype, machine.stream()));
  pool.collect("x", &left);
  pool.checkGuards();
  QCCL_EXPECT_OK(qcclActivationRestore(pool.get(), 1, &tensor, back.data(), c.dtype, machine.stream()));
  left.emplace_back("restored", back.read());
  return left;
}

template <typename Machine>
Left runNorm(Machine& machine, const FusedCase& c) {
  using Buffer = typename Machine::Buffer;
  const qcclSavedTensor_t xhat = c.tensor("xhat", c.format), rstd{"rstd", c.rows, {qcclCodecNone, 0, 0}, qcclFloat32};
  CasePool<Machine> pool(machine, {xhat, rstd}, c.planned);
  std::size_t scratchBytes = 0;
  QCCL_EXPECT_OK(qcclRmsNormScratchBytes(c.rows, c.cols, &scratchBytes));
  Buffer x(machine, c.values(c.elems(), 0), c.offset), weight(machine, c.values(c.cols, 1), c.offset),
      output(machine, c.nothing(c.elems()), c.offset);
  Buffer dOutput(machine, c.values(c.elems(), 2), c.offset), dX(machine, c.nothing(c.elems()), c.offset),
      again(machine, c.nothing(c.elems()), c.offset);
  Buffer dWeight(machine, normalBytes(qcclFloat32, c.cols, c.seed), 0), scratch(machine, Bytes(scratchBytes, 0x77), 0);
  Buffer& outputAt = c.inPlace ? x : output;
  Buffer& dXAt = c.inPlace ? dOutput : dX;
  Left left;
  QCCL_EXPECT_OK(
      qcclRmsNormForward(pool.get(), 1, &xhat, &rstd, x.data(), weight.data(), 1e-5f, outputAt.data(), c.dtype, machine.stream()));
  pool.collect("xhat", &left);
  pool.collect("rstd", &left);
  pool.checkGuards();
  QCCL_EXPECT_OK(qcclRmsNormBackward(pool.get(), 1, &xhat, &rstd, dOutput.data(), weight.data(), dXAt.data(),
                                     static_cast<float*>(dWeight.data()), c.seed % 4 == 0 ? nullptr : again.data(), scratch.data(), c.dtype,
                                     machine.stream()));
  left.emplace_back("output", outputAt.read());
  left.emplace_back("dX", dXAt.read());
  left.emplace_back("dWeight", dWeight.read());
  left.emplace_back("output again", again.read());
  (void)scratch.read();
  return left;
}

template <typename Machine>
Left runSwiglu(Machine& machine, const FusedCase& c) {
  using Buffer = typename Machine::Buffer;
  const qcclSavedTensor_t gateTensor = c.tensor("gate", c.format), upTensor = c.tensor("up", c.second);
  CasePool<Machine> pool(machine, {gateTensor, upTensor}, c.planned);
  Buffer gate(machine, c.values(c.elems(), 0), c.offset), up(machine, c.values(c.elems(), 1), c.offset),
      product(machine, c.nothing(c.elems()), c.offset);
  Buffer dProduct(machine, c.values(c.elems(), 2), c.offset), dGate(machine, c.nothing(c.elems()), c.offset),
      dUp(machine, c.nothing(c.elems()), c.offset), again(machine, c.nothing(c.elems()), c.offset);
  Left left;
  QCCL_EXPECT_OK(
      qcclSwigluForward(pool.get(), 1, &gateTensor, &upTensor, gate.data(), up.data(), product.data(), c.dtype, machine.stream()));
  pool.collect("gate", &left);
  pool.collect("up", &left);
  pool.checkGuards();
  QCCL_EXPECT_OK(qcclSwigluBackward(pool.get(), 1, &gateTensor, &upTensor, dProduct.data(), dGate.data(), dUp.data(),
                                    c.seed % 4 == 0 ? nullptr : again.data(), c.dtype, machine.stream()));
  left.emplace_back("product", product.read());
  left.emplace_back("dGate", dGate.read());
  left.emplace_back("dUp", dUp.read());
  left.emplace_back("product again", again.read());
  return left;
}

// Every byte, NaNs included.
inline void expectSame(const Left& expected, const Left& actual) {
  ASSERT_EQ(expected.size(), actual.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto& [name, bytes] = expected[i];
    ASSERT_EQ(bytes.size(), actual[i].second.size()) << name;
    const auto difference = std::mismatch(bytes.begin(), bytes.end(), actual[i].second.begin());
    if (difference.first == bytes.end()) continue;
    const auto at = static_cast<std::size_t>(difference.first - bytes.begin()) / 4 * 4;
    const auto text = [&](const Bytes& b) {
      return hex(reinterpret_cast<const unsigned char*>(b.data()) + at, std::min<std::size_t>(8, b.size() - at));
    };
    FAIL() << name << " differs at byte " << at << " of " << bytes.size() << ": expected " << text(bytes) << ", got "
           << text(actual[i].second);
  }
}

inline const Bytes& leftOf(const Left& left, const std::string& name) {
  const auto found = std::find_if(left.begin(), left.end(), [&](const auto& one) { return one.first == name; });
  EXPECT_NE(found, left.end()) << name;
  return found->second;
}

}  // namespace qccl::test
