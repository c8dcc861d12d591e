// Where a rank's operands lie, and what follows from it: how bytes get there and back, which stream the calls are ordered on, and how the
// time of a call is taken.
#pragma once

#include <qccl/qccl.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "common/api.hpp"
#include "perf/options.hpp"

namespace qccl::bench {

// Work given to a device has not ended in time. Some of it may still run, so that a program that has seen this must not wait for the device
// again, not even by ending in the ordinary way.
class DeviceHung : public ToolError {
 public:
  using ToolError::ToolError;
};

// The same calls, made again by each run().
class Sampler {
 public:
  virtual ~Sampler() = default;
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  // Makes the calls, waits for them, and returns the microseconds that one of them took.
  virtual double run() = 0;

 protected:
  Sampler() = default;
};

// One rank's memory; all functions are called by the rank's own thread. Work on a device is in the order of stream(), and the functions
// return at once unless they say that they wait. All throw ToolError, those that wait DeviceHung as well.
class Memory {
 public:
  virtual ~Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // For people: "host", "cuda, NVIDIA H200".
  virtual std::string description() const = 0;
  // What the calls on this memory are to be given.
  virtual qcclStream_t stream() const = 0;

  // Lives as long as this object.
  virtual char* allocate(std::size_t bytes) = 0;
  // Puts there what `make` writes into host memory of that size. Waits.
  virtual void write(void* to, std::size_t bytes, const std::function<void(void*)>& make) = 0;
  // The bytes in host memory, where they stay until the next call of this function or the next change of the original. Waits.
  virtual const void* read(const void* from, std::size_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  virtual void fill(void* to, int byte, std::size_t bytes) = 0;

  // Until the calls made so far have ended; `comm` is whose failure ends the wait early.
  virtual void wait(qcclComm_t comm) = 0;

  // How many calls one sample consists of; `most` or fewer.
  virtual std::size_t callsPerSample(std::size_t most) const = 0;
  // Ranks must begin a sample together, because calls return before they have met.
  virtual bool startsTogether() const = 0;
  // `calls` times `call`, which must make one collective on stream(). With --graph it is made once at once, by itself, and then captured;
  // run() replays. `call` and what it uses must outlive the sampler, the sampler must not outlive this object or the communicators.
  // Collective with --graph.
  virtual std::unique_ptr<Sampler> sampler(std::size_t calls, std::function<void()> call, qcclComm_t comm) = 0;

 protected:
  Memory() = default;
};

// Before any rank is started: throws ToolError if this build or this machine lacks the memory that --memory names.
void requireMemoryKind(const Options& options);

// In the rank's own thread. `localRank`: among the ranks of this machine; it chooses the GPU. Throws ToolError.
std::unique_ptr<Memory> makeMemory(const Options& options, int localRank);

// Bound of every wait for a device or for another library: a little longer than qccl's own (QCCL_TIMEOUT_MS), which knows better what is
// missing and should speak first.
std::chrono::milliseconds waitLimit();

// In perf/cuda/, only in builds with CUDA.
void requireCuda();
std::unique_ptr<Memory> makeCudaMemory(const Options& options, int localRank);

}  // namespace qccl::bench
