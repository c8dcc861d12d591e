// MPI: MPI_COMM_WORLD of the launcher that started this program.
#include <mpi.h>

#include <cstring>
#include <limits>

#include "common/api.hpp"
#include "perf/peer.hpp"

namespace qccl::bench {
namespace {

constexpr int kRingTag = 0;

void checkMpi(int result, const char* call) {
  if (result == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(result, text, &length);
  throw ToolError(std::string(call) + ": " + std::string(text, static_cast<std::size_t>(length)));
}

MPI_Datatype typeOf(qcclDataType_t dtype) {
  switch (dtype) {
    case qcclInt8:
      return MPI_INT8_T;
    case qcclUint8:
      return MPI_UINT8_T;
    case qcclInt32:
      return MPI_INT32_T;
    case qcclUint32:
      return MPI_UINT32_T;
    case qcclInt64:
      return MPI_INT64_T;
    case qcclUint64:
      return MPI_UINT64_T;
    case qcclFloat32:
      return MPI_FLOAT;
    case qcclFloat64:
      return MPI_DOUBLE;
    default:
      return MPI_DATATYPE_NULL;
  }
}

MPI_Op opOf(qcclRedOp_t op) {
  switch (op) {
    case qcclSum:
      return MPI_SUM;
    case qcclProd:
      return MPI_PROD;
    case qcclMin:
      return MPI_MIN;
    case qcclMax:
      return MPI_MAX;
    default:
      return MPI_OP_NULL;
  }
}

class MpiPeer final : public Peer {
 public:
  MpiPeer(const Options& options, Rank& rank)
      : collective_(options.collective), root_(options.root), type_(typeOf(options.dtype)), op_(opOf(options.op)) {
    int given = MPI_THREAD_SINGLE;
    checkMpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &given), "MPI_Init_thread");
    checkMpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    checkMpi(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
    checkMpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    if (given < MPI_THREAD_FUNNELED) throw ToolError("--against mpi: this MPI does not allow other threads in its processes");
    if (size_ != rank.size() || rank_ != rank.index()) {
      throw ToolError("--against mpi: MPI says rank " + std::to_string(rank_) + " of " + std::to_string(size_) + " and the launcher rank " +
                      std::to_string(rank.index()) + " of " + std::to_string(rank.size()) +
                      "; start the ranks with the mpirun of the MPI that qccl-perf was built with");
    }
    // A type that MPI lacks only ever travels here (requireMpi): as bytes.
    if (type_ == MPI_DATATYPE_NULL) {
      type_ = MPI_BYTE;
      unitsPerElem_ = qcclTypeSize(options.dtype);
    }
    elemBytes_ = qcclTypeSize(options.dtype);
  }

  std::string description() const override {
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    checkMpi(MPI_Get_library_version(text, &length), "MPI_Get_library_version");
    const std::string whole(text, static_cast<std::size_t>(length));
    return whole.substr(0, whole.find_first_of(",\n"));
  }

  void run(const Shape& shape, const void* send, void* recv, bool inPlace) override {
    const auto count = static_cast<int>(shape.count * unitsPerElem_);
    const void* from = inPlace ? MPI_IN_PLACE : send;
    switch (collective_) {
      case qcclCollAllReduce:
        return checkMpi(MPI_Allreduce(from, recv, count, type_, op_, MPI_COMM_WORLD), "MPI_Allreduce");
      case qcclCollReduceScatter:
        return checkMpi(MPI_Reduce_scatter_block(from, recv, count, type_, op_, MPI_COMM_WORLD), "MPI_Reduce_scatter_block");
      case qcclCollAllGather:
        return checkMpi(MPI_Allgather(from, count, type_, recv, count, type_, MPI_COMM_WORLD), "MPI_Allgather");
      case qcclCollBroadcast:
        // MPI's broadcast has one buffer; the root's copy is part of the same job.
        if (rank_ == root_ && !inPlace) std::memcpy(recv, send, shape.count * elemBytes_);
        return checkMpi(MPI_Bcast(recv, count, type_, root_, MPI_COMM_WORLD), "MPI_Bcast");
      case qcclCollReduce:
        return checkMpi(MPI_Reduce(rank_ == root_ ? from : send, recv, count, type_, op_, root_, MPI_COMM_WORLD), "MPI_Reduce");
      case qcclCollSendRecv:
        return checkMpi(MPI_Sendrecv(send, count, type_, (rank_ + 1) % size_, kRingTag, recv, count, type_, (rank_ + size_ - 1) % size_,
                                     kRingTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE),
                        "MPI_Sendrecv");
      case qcclNumColls:
        break;
    }
  }

  void finish() override { checkMpi(MPI_Finalize(), "MPI_Finalize"); }

 private:
  qcclColl_t collective_;
  int root_;
  MPI_Datatype type_;
  MPI_Op op_;
  std::size_t unitsPerElem_ = 1;
  std::size_t elemBytes_ = 1;
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace

void requireMpi(const Options& options, const char* launcher) {
  if (std::strcmp(launcher, "none") == 0 || std::strcmp(launcher, "qccl") == 0 || options.carrier == Carrier::inproc) {
    throw ToolError(
        "--against mpi: MPI's ranks are processes that mpirun starts: mpirun -np 2 qccl-perf ... --against mpi, without --ranks");
  }
  if (isReduction(options.collective) && typeOf(options.dtype) == MPI_DATATYPE_NULL) {
    throw ToolError(std::string("--against mpi: MPI has no arithmetic for ") + qcclEnumName(qcclEnumDataType, options.dtype) +
                    "; compare float32");
  }
  if (isReduction(options.collective) && opOf(options.op) == MPI_OP_NULL) {
    throw ToolError(std::string("--against mpi: MPI has no operation ") + qcclEnumName(qcclEnumRedOp, options.op) + "; compare sum");
  }
  if (options.maxBytes > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    throw ToolError("--against mpi: MPI counts elements in an int; keep --max below 2G");
  }
}

std::unique_ptr<Peer> makeMpiPeer(const Options& options, Rank& rank) { return std::make_unique<MpiPeer>(options, rank); }

}  // namespace qccl::bench
