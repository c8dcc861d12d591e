// What holds for every pool, with and without adaptors around it, on every kind of memory. A new pool or space is a row in an
// instantiation.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "memory/ledger.hpp"
#include "memory/pool.hpp"

namespace qccl::memory::test {

// How a test gets at memory that it may not be able to touch.
class Machine {
 public:
  virtual ~Machine() = default;
  virtual MemorySpace& space() = 0;
  virtual StreamHandle stream() = 0;
  virtual StreamHandle otherStream() = 0;  // the same where there is only one
  // Work given to the stream: every byte becomes `value`, or is checked against it when the stream gets there.
  virtual void fill(void* memory, unsigned char value, std::size_t bytes, StreamHandle stream) = 0;
  virtual void expectFilled(const void* memory, unsigned char value, std::size_t bytes, StreamHandle stream) = 0;
  // Why it cannot be used here; "" if it can.
  virtual std::string whyNot() const { return ""; }
};

std::unique_ptr<Machine> hostMachine();
std::unique_ptr<Machine> imaginedMachine();  // streams on paper: order is checked instead of contents
std::unique_ptr<Machine> cudaMachine();

inline constexpr std::size_t kInFlight = 3;
inline constexpr std::size_t kScratchBytes = 5000;

// What the micro-batches of the suite save.
Ledger suiteLedger();

struct PoolKind {
  const char* name;
  std::function<std::unique_ptr<Pool>(MemorySpace&)> make;
};
std::vector<PoolKind> poolKinds();

struct MachineKind {
  const char* name;
  std::function<std::unique_ptr<Machine>()> make;
};

class PoolConformance : public testing::TestWithParam<std::tuple<PoolKind, MachineKind>> {
 protected:
  void SetUp() override;

  Place save(std::uint64_t microBatch, std::size_t tensor, StreamHandle stream);
  void restore(std::uint64_t microBatch, std::size_t tensor, StreamHandle stream);
  void forward(std::uint64_t microBatch, StreamHandle stream);   // saves and fills all
  void backward(std::uint64_t microBatch, StreamHandle stream);  // restores and checks all

  const Ledger ledger_ = suiteLedger();
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Pool> pool_;  // ends before its memory
};

std::string caseName(const testing::TestParamInfo<std::tuple<PoolKind, MachineKind>>& info);

}  // namespace qccl::memory::test
