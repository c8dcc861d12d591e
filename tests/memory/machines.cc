// The machines of the conformance suite that every computer has.
#include <algorithm>
#include <cstring>

#include "memory/conformance.hpp"
#include "memory/race_space.hpp"

namespace qccl::memory::test {
namespace {

class HostMachine final : public Machine {
 public:
  MemorySpace& space() override { return *space_; }
  StreamHandle stream() override { return nullptr; }
  StreamHandle otherStream() override { return nullptr; }
  void fill(void* memory, unsigned char value, std::size_t bytes, StreamHandle) override { std::memset(memory, value, bytes); }
  void expectFilled(const void* memory, unsigned char value, std::size_t bytes, StreamHandle) override {
    const auto* at = static_cast<const unsigned char*>(memory);
    EXPECT_TRUE(std::all_of(at, at + bytes, [&](unsigned char byte) { return byte == value; }));
  }

 private:
  std::unique_ptr<MemorySpace> space_ = hostMemory();
};

class ImaginedMachine final : public Machine {
 public:
  MemorySpace& space() override { return space_; }
  StreamHandle stream() override { return fakeStream(1); }
  StreamHandle otherStream() override { return fakeStream(2); }
  void fill(void* memory, unsigned char, std::size_t bytes, StreamHandle stream) override { space_.write(memory, bytes, stream); }
  void expectFilled(const void* memory, unsigned char, std::size_t bytes, StreamHandle stream) override {
    space_.read(memory, bytes, stream);
  }

 private:
  RaceSpace space_;
};

}  // namespace

std::unique_ptr<Machine> hostMachine() { return std::make_unique<HostMachine>(); }
std::unique_ptr<Machine> imaginedMachine() { return std::make_unique<ImaginedMachine>(); }

INSTANTIATE_TEST_SUITE_P(Memory, PoolConformance,
                         testing::Combine(testing::ValuesIn(poolKinds()),
                                          testing::Values(MachineKind{"OnHost", hostMachine}, MachineKind{"OnStreams", imaginedMachine})),
                         caseName);

}  // namespace qccl::memory::test
