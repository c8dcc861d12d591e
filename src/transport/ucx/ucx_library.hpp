// UCX, opened when the first communicator between processes is made. libqccl does not name it at link time, so programs that never leave
// one process run without.
#pragma once

#include <qccl/qccl.h>
#include <ucp/api/ucp.h>

#include <string>

namespace qccl::transport {

// The functions that we use. One row each: the name is the symbol.
#define QCCL_UCP_FUNCTIONS(X)   \
  X(ucp_get_version)            \
  X(ucp_config_read)            \
  X(ucp_config_modify)          \
  X(ucp_config_release)         \
  X(ucp_init_version)           \
  X(ucp_cleanup)                \
  X(ucp_worker_create)          \
  X(ucp_worker_destroy)         \
  X(ucp_worker_get_address)     \
  X(ucp_worker_release_address) \
  X(ucp_worker_progress)        \
  X(ucp_ep_flush_nbx)           \
  X(ucp_ep_create)              \
  X(ucp_ep_close_nbx)           \
  X(ucp_tag_send_nbx)           \
  X(ucp_tag_recv_nbx)           \
  X(ucp_request_cancel)         \
  X(ucp_request_check_status)   \
  X(ucp_request_free)
#define QCCL_UCS_FUNCTIONS(X) X(ucs_status_string)

struct UcxLibrary {
#define QCCL_DECLARE(name) decltype(&::name) name = nullptr;
  QCCL_UCP_FUNCTIONS(QCCL_DECLARE)
  QCCL_UCS_FUNCTIONS(QCCL_DECLARE)
#undef QCCL_DECLARE
};

// Opens UCX on first use; stays open. Throws Error(qcclSystemError) naming the package to install when UCX is missing or too old.
const UcxLibrary& ucx();

// "1.13.1", or why UCX cannot be opened here. Never throws: for reports about the machine.
std::string ucxVersionText();

// Throws Error(code) with UCX's own words when `status` is an error.
void checkUcx(ucs_status_t status, const char* what, qcclResult_t code);

}  // namespace qccl::transport
