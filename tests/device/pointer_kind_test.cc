// Memory of the host is the host's, with and without CUDA, with and without a driver.
#include "device/pointer_kind.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace qccl::device {
namespace {

const int kConstant = 1;
int variable = 2;

TEST(PointerKind, OfHostMemoryIsHost) {
  const auto heap = std::make_unique<int>(3);
  int local = 4;
  for (const void* pointer : {static_cast<const void*>(&kConstant), static_cast<const void*>(&variable),
                              static_cast<const void*>(heap.get()), static_cast<const void*>(&local), static_cast<const void*>(nullptr)}) {
    EXPECT_EQ(pointerInfo(pointer), PointerInfo()) << pointer;
  }
  EXPECT_EQ(PointerInfo().kind, PointerKind::host);
}

}  // namespace
}  // namespace qccl::device
