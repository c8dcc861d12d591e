#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "device/cuda/check.cuh"
#include "device/cuda/device_guard.hpp"
#include "transport/cuda_ipc/gather_structs.hpp"
#include "transport/cuda_ipc/peer_memory.hpp"
#include "transport/tcp/random.hpp"
#include "transport/together.hpp"

namespace qccl::transport {
namespace {

constexpr const char* kFileName = "qccl-arena";

struct HostOffer {
  unsigned char* pointer;  // for this process's devices
  std::int64_t process;    // its id
  std::int32_t file;
  std::array<std::uint8_t, 16> token;  // stands behind the memory, so that another process's cannot be taken for it
};

class File {
 public:
  explicit File(int file) : file_(file) {}
  ~File() {
    if (file_ >= 0) (void)close(file_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int get() const { return file_; }

 private:
  const int file_;
};

// A file's memory in this process, page-locked for all its devices.
class LockedMemory {
 public:
  // `whose` begins the sentence of an Error.
  LockedMemory(int file, std::size_t bytes, const std::string& whose) : bytes_(bytes) {
    data_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
    if (data_ == MAP_FAILED) fail(qcclInvalidUsage, whose, " cannot be mapped (", std::strerror(errno), ")");
    const cudaError_t error = cudaHostRegister(data_, bytes, cudaHostRegisterPortable | cudaHostRegisterMapped);
    if (error == cudaSuccess) return;
    (void)cudaGetLastError();
    (void)munmap(data_, bytes);
    fail(qcclInvalidUsage, whose, ", ", bytes, " bytes, cannot be locked for GPUs (", cudaGetErrorString(error), "; see ulimit -l)");
  }
  ~LockedMemory() {
    if (data_ == MAP_FAILED) return;
    (void)cudaHostUnregister(data_);
    (void)munmap(data_, bytes_);
  }
  LockedMemory(LockedMemory&& other) noexcept : data_(std::exchange(other.data_, MAP_FAILED)), bytes_(other.bytes_) {}
  LockedMemory& operator=(LockedMemory&&) = delete;

  unsigned char* data() const { return static_cast<unsigned char*>(data_); }
  void release() { data_ = MAP_FAILED; }

 private:
  void* data_;
  std::size_t bytes_;
};

// Below 0: what was wrong, negated.
int makeFile() {
  const int file = memfd_create(kFileName, MFD_CLOEXEC);
  return file < 0 ? -errno : file;
}

// To be asked before it is opened: in another container's /proc the path may be anything.
bool isArena(const std::string& path) {
  char target[256] = {};
  return readlink(path.c_str(), target, sizeof(target) - 1) > 0 && std::string_view(target).find(kFileName) != std::string_view::npos;
}

// For the current device.
unsigned char* onDevice(unsigned char* memory) {
  void* result = nullptr;
  QCCL_CUDA_CHECK(cudaHostGetDevicePointer(&result, memory, 0));
  return static_cast<unsigned char*>(result);
}

class HostMemory final : public PeerMemory {
 public:
  HostMemory(Control& control, const std::vector<int>& hosts, int device, std::size_t bytes, Deadline deadline)
      : PeerMemory(Kind::host, control, hosts, device, deadline), bytes_(bytes), file_(makeFile()) {
    const device::cuda::DeviceGuard guard(device);
    HostOffer mine{};
    together(control, deadline, [&] { mine = offer(); });
    const std::vector<HostOffer> offers = gatherStructs(control, mine, deadline);
    together(control, deadline, [&] {
      for (std::size_t i = 0; i < offers.size(); ++i) {
        const bool here = facts()[i].process == facts()[static_cast<std::size_t>(control.rank())].process;
        arenas_.push_back(onDevice(here ? offers[i].pointer : mapOf(offers[i], i)));
      }
    });
  }

  ~HostMemory() override {
    if (abandoned()) {
      for (LockedMemory& memory : memory_) memory.release();
      return;
    }
    try {
      const device::cuda::DeviceGuard guard(device());
      memory_.clear();
    } catch (const Error&) {
      // The device is lost; the process's memory goes with the members.
    }
  }

 private:
  std::size_t fileBytes() const { return bytes_ + sizeof(HostOffer::token); }

  HostOffer offer() {
    if (file_.get() < 0)
      fail(qcclInvalidUsage, "host memory without a name cannot be had (memfd_create: ", std::strerror(-file_.get()), ")");
    if (ftruncate(file_.get(), static_cast<off_t>(fileBytes())) != 0) {
      fail(qcclInvalidUsage, "host memory of ", fileBytes(), " bytes for the ranks cannot be had (", std::strerror(errno), ")");
    }
    memory_.emplace_back(file_.get(), fileBytes(), "this rank's host memory");
    const HostOffer result{memory_.back().data(), getpid(), file_.get(), randomBytes<16>()};
    std::memcpy(result.pointer + bytes_, &result.token, sizeof(result.token));
    return result;
  }

  unsigned char* mapOf(const HostOffer& peer, std::size_t rank) {
    const std::string path = strCat("/proc/", peer.process, "/fd/", peer.file);
    const std::string whose = strCat("the host memory of rank ", rank, ", ", path, ",");
    constexpr const char* kRemedy = "; run the ranks of a host as one user, in one container";
    if (!isArena(path)) fail(qcclInvalidUsage, whose, " cannot be seen from here", kRemedy);
    const File file(open(path.c_str(), O_RDWR | O_CLOEXEC));
    struct stat status {};
    if (file.get() < 0 || fstat(file.get(), &status) != 0) {
      fail(qcclInvalidUsage, whose, " cannot be opened (", std::strerror(errno), ")", kRemedy);
    }
    if (static_cast<std::size_t>(status.st_size) != fileBytes()) fail(qcclInvalidUsage, whose, " has another size", kRemedy);
    LockedMemory& memory = memory_.emplace_back(file.get(), fileBytes(), whose);
    if (std::memcmp(memory.data() + bytes_, &peer.token, sizeof(peer.token)) != 0) {
      fail(qcclInvalidUsage, whose, " is another process's", kRemedy);
    }
    return memory.data();
  }

  const std::size_t bytes_;
  const File file_;
  std::vector<LockedMemory> memory_;  // its own, and those of other processes
};

}  // namespace

std::unique_ptr<PeerMemory> shareHostMemory(Control& control, const std::vector<int>& hosts, int device, std::size_t bytes,
                                            Deadline deadline) {
  return std::make_unique<HostMemory>(control, hosts, device, bytes, deadline);
}

}  // namespace qccl::transport
