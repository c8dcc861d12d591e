// How a call on GPU memory is launched: which kernel runs it, on how many thread blocks, with which arguments.
#pragma once

#include <functional>
#include <variant>

#include "collectives/cuda/device_plan.hpp"
#include "collectives/cuda/kernel_call.hpp"
#include "collectives/device_calls.hpp"

namespace qccl::collectives::cuda {

struct CallLaunch {
  const void* function = nullptr;
  std::uint32_t threadBlocks = 0;
  std::uint32_t threads = 0;  // of each
  std::uint32_t sharedBytes = 0;
  std::variant<ScheduleCall, OneshotCall, FlaggedCall> call;

  DeviceCall& arguments() {
    return std::visit([](auto& c) -> DeviceCall& { return c; }, call);
  }
};

// What a rank may take of its GPU; the same on every rank.
struct GpuShare {
  int multiprocessors = 0;
  int ranksPerDevice = 1;
  int threadBlocks = 0;       // at most; 0: as many as run at the same time
  bool inHostMemory = false;  // are the arenas
  // Thread blocks of a kernel that a multiprocessor holds at a time.
  std::function<int(const void* function, std::uint32_t threads, std::uint32_t sharedBytes)> residentBlocks;
};

// Dynamic shared memory that a kernel may be launched with.
inline constexpr std::uint32_t kMaxSharedBytes = kSharedBuffers * (16 << 10);  // a tile of values as they are

// `common` holds what all kernels are told; input and output are left to the caller. `plan` is asked for if the kernel runs a schedule.
CallLaunch makeLaunch(const DeviceExecution& execution, const DeviceCall& common, const GpuShare& gpu,
                      const std::function<const DevicePlan&()>& plan);

// Sets what a launch has of one call's buffers.
void setBuffers(CallLaunch* launch, const void* input, void* output);

// Every kernel that a call may be launched with; function is nullptr where there is none.
void forEachKernel(const std::function<void(const CallKernel&)>& use);

}  // namespace qccl::collectives::cuda
