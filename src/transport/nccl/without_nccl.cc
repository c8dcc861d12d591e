// A build without NCCL's header: NCCL can never be opened, and says so.
#include "core/error.hpp"
#include "transport/nccl/nccl_comm.hpp"

namespace qccl::transport {
namespace {

constexpr const char* kWhy =
    "this build of qccl has no NCCL: build it where nccl.h is found (QCCL_NCCL_INCLUDE_DIR names its folder), or keep to what runs without";

[[noreturn]] void failUnreachable() { fail(qcclInternalError, "defect in qccl: a call over NCCL in a build without it"); }

}  // namespace

struct NcclComm::Handles {};
class NcclComm::Ending {};

std::string whyNoNccl(const std::string&) { return kWhy; }
std::string ncclVersionText(const std::string&) { return kWhy; }

NcclComm::NcclComm(Control&, const std::vector<int>&, int device, const std::string&, std::chrono::milliseconds) : device_(device) {
  fail(qcclSystemError, kWhy);
}
NcclComm::~NcclComm() = default;

void NcclComm::allReduce(const void*, void*, std::size_t, qcclDataType_t, qcclRedOp_t, device::StreamHandle) { failUnreachable(); }
void NcclComm::reduceScatter(const void*, void*, std::size_t, qcclDataType_t, qcclRedOp_t, device::StreamHandle) { failUnreachable(); }
void NcclComm::allGather(const void*, void*, std::size_t, qcclDataType_t, device::StreamHandle) { failUnreachable(); }
void NcclComm::broadcast(const void*, void*, std::size_t, qcclDataType_t, int, device::StreamHandle) { failUnreachable(); }
void NcclComm::reduce(const void*, void*, std::size_t, qcclDataType_t, qcclRedOp_t, int, device::StreamHandle) { failUnreachable(); }
void NcclComm::group(const std::function<void()>&) { failUnreachable(); }
void NcclComm::send(const void*, std::size_t, int, device::StreamHandle) { failUnreachable(); }
void NcclComm::receive(void*, std::size_t, int, device::StreamHandle) { failUnreachable(); }
void NcclComm::abort() noexcept {}
std::string NcclComm::failure() const { return ""; }

}  // namespace qccl::transport
