// Gloo over TCP, its transport between hosts and the one that PyTorch uses. Works for ranks that are threads and for ranks that are
// processes: the pairs' addresses go round by way of qccl itself.
#include <arpa/inet.h>
#include <gloo/allgather.h>
#include <gloo/allreduce.h>
#include <gloo/broadcast.h>
#include <gloo/config.h>
#include <gloo/context.h>
#include <gloo/math.h>
#include <gloo/reduce.h>
#include <gloo/transport/tcp/device.h>
#include <gloo/types.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <functional>
#include <limits>
#include <string_view>

#include "common/api.hpp"
#include "perf/peer.hpp"

namespace qccl::bench {
namespace {

using ReduceFunction = void (*)(void*, const void*, const void*, std::size_t);

// Of connecting and of every call.
constexpr std::chrono::seconds kTimeout{120};

bool onOneHost(Rank& rank) {
  char name[HOST_NAME_MAX + 1] = "";
  gethostname(name, sizeof name - 1);
  const std::vector<std::uint64_t> names = rank.gather(static_cast<std::uint64_t>(std::hash<std::string_view>()(name)));
  return std::equal(names.begin() + 1, names.end(), names.begin());
}

// As for qccl: the interface or address that QCCL_INTERFACE names. Without it loopback, which reaches the ranks of one host.
std::string interfaceFor(Rank& rank) {
  const char* chosen = std::getenv("QCCL_INTERFACE");
  const bool oneHost = onOneHost(rank);
  if (chosen == nullptr || *chosen == '\0') {
    if (!oneHost) throw ToolError("--against gloo: the ranks are on several hosts; name the interface that joins them with QCCL_INTERFACE");
    return "lo";
  }
  return chosen;
}

// Checked here: this Gloo looks an unknown name up as a host's, and does not survive that when several threads do it at once.
gloo::transport::tcp::attr deviceOn(const std::string& where) {
  unsigned char address[sizeof(in6_addr)];
  if (if_nametoindex(where.c_str()) == 0 && inet_pton(AF_INET, where.c_str(), address) != 1 &&
      inet_pton(AF_INET6, where.c_str(), address) != 1) {
    throw ToolError("--against gloo: QCCL_INTERFACE=" + where + " is neither an interface of this host nor an IP address");
  }
  gloo::transport::tcp::attr attr;
  (if_nametoindex(where.c_str()) != 0 ? attr.iface : attr.hostname) = where;
  return attr;
}

// A Gloo context whose full mesh is connected by addresses that qccl carries, instead of by a store.
class MeshContext final : public gloo::Context {
 public:
  explicit MeshContext(Rank& group) : gloo::Context(group.index(), group.size()), where_(interfaceFor(group)) {
    setTimeout(kTimeout);
    device_ = gloo::transport::tcp::CreateDevice(deviceOn(where_));
    transportContext_ = device_->createContext(group.index(), group.size());
    transportContext_->setTimeout(getTimeout());
    // Addresses of all pairs, in the order of ranks; the own place stays empty.
    std::vector<std::vector<char>> addresses(static_cast<std::size_t>(group.size()));
    std::size_t addressBytes = 0;
    for (int i = 0; i < group.size(); ++i) {
      if (i == group.index()) continue;
      auto& mine = addresses[static_cast<std::size_t>(i)];
      mine = transportContext_->createPair(i)->address().bytes();
      addressBytes = std::max(addressBytes, mine.size());
    }
    for (const std::uint64_t theirs : group.gather(static_cast<std::uint64_t>(addressBytes))) {
      if (theirs != addressBytes) throw ToolError("--against gloo: the ranks have different versions of Gloo");
    }
    std::vector<char> packed;
    for (auto& address : addresses) {
      address.resize(addressBytes);
      packed.insert(packed.end(), address.begin(), address.end());
    }
    const std::vector<char> all = group.gather(packed);
    for (int i = 0; i < group.size(); ++i) {
      if (i == group.index()) continue;
      const auto begin =
          all.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(i * group.size() + group.index()) * addressBytes);
      transportContext_->getPair(i)->connect(std::vector<char>(begin, begin + static_cast<std::ptrdiff_t>(addressBytes)));
    }
  }

  // An interface or an address.
  const std::string& where() const { return where_; }

 private:
  std::string where_;
};

template <typename T>
ReduceFunction functionOf(qcclRedOp_t op) {
  switch (op) {
    case qcclSum:
      return &gloo::sum<T>;
    case qcclProd:
      return &gloo::product<T>;
    case qcclMin:
      return &gloo::min<T>;
    case qcclMax:
      return &gloo::max<T>;
    default:
      return nullptr;
  }
}

template <typename T>
class GlooPeer final : public Peer {
 public:
  GlooPeer(const Options& options, Rank& rank)
      : collective_(options.collective),
        root_(options.root),
        reduce_(functionOf<T>(options.op)),
        context_(std::make_shared<MeshContext>(rank)) {}

  std::string description() const override {
    return "Gloo " + std::to_string(GLOO_VERSION_MAJOR) + "." + std::to_string(GLOO_VERSION_MINOR) + "." +
           std::to_string(GLOO_VERSION_PATCH) + " over TCP on " + context_->where();
  }

  // In place Gloo wants no input: the output is read instead.
  void run(const Shape& shape, const void* send, void* recv, bool inPlace) override try {
    T* const in = inPlace ? nullptr : static_cast<T*>(const_cast<void*>(send));
    T* const out = static_cast<T*>(recv);
    const std::uint32_t tag = tag_++;
    switch (collective_) {
      case qcclCollAllReduce:
        return allReduce(shape, in, out, tag);
      case qcclCollAllGather:
        return allGather(shape, in, out, tag);
      case qcclCollBroadcast:
        return broadcast(shape, in, out, tag);
      case qcclCollReduce:
        return reduce(shape, in, out, tag);
      case qcclCollSendRecv:
        return sendRecv(shape, static_cast<T*>(const_cast<void*>(send)), out, tag);
      case qcclCollReduceScatter:
      case qcclNumColls:
        break;
    }
  } catch (const std::exception& error) {
    throw ToolError(std::string("Gloo: ") + error.what());
  }

  void finish() override { context_->closeConnections(); }

 private:
  void allReduce(const Shape& shape, T* in, T* out, std::uint32_t tag) {
    gloo::AllreduceOptions call(context_);
    if (in != nullptr) call.setInput(in, shape.count);
    call.setOutput(out, shape.count);
    call.setReduceFunction(reduce_);
    call.setTag(tag);
    gloo::allreduce(call);
  }

  void allGather(const Shape& shape, T* in, T* out, std::uint32_t tag) {
    gloo::AllgatherOptions call(context_);
    if (in != nullptr) call.setInput(in, shape.count);
    call.setOutput(out, shape.recvElems);
    call.setTag(tag);
    gloo::allgather(call);
  }

  void broadcast(const Shape& shape, T* in, T* out, std::uint32_t tag) {
    gloo::BroadcastOptions call(context_);
    if (in != nullptr && context_->rank == root_) call.setInput(in, shape.count);
    call.setOutput(out, shape.count);
    call.setRoot(root_);
    call.setTag(tag);
    gloo::broadcast(call);
  }

  // Gloo's reduce uses the result buffer of every rank as its working memory.
  void reduce(const Shape& shape, T* in, T* out, std::uint32_t tag) {
    gloo::ReduceOptions call(context_);
    if (in != nullptr) call.setInput(in, shape.count);
    call.setOutput(out, shape.count);
    call.setRoot(root_);
    call.setReduceFunction(reduce_);
    call.setTag(tag);
    gloo::reduce(call);
  }

  void sendRecv(const Shape& shape, T* in, T* out, std::uint32_t tag) {
    const auto sent = context_->createUnboundBuffer(in, shape.count * sizeof(T));
    const auto received = context_->createUnboundBuffer(out, shape.count * sizeof(T));
    received->recv((context_->rank + context_->size - 1) % context_->size, tag);
    sent->send((context_->rank + 1) % context_->size, tag);
    received->waitRecv(context_->getTimeout());
    sent->waitSend(context_->getTimeout());
  }

  qcclColl_t collective_;
  int root_;
  ReduceFunction reduce_;
  std::shared_ptr<MeshContext> context_;
  std::uint32_t tag_ = 0;
};

}  // namespace

void requireGloo(const Options& options) {
  if (options.collective == qcclCollReduceScatter) {
    throw ToolError("--against gloo: Gloo reduces and scatters only by overwriting its operands; compare allreduce");
  }
  if (isReduction(options.collective) && functionOf<float>(options.op) == nullptr) {
    throw ToolError(std::string("--against gloo: Gloo has no operation ") + qcclEnumName(qcclEnumRedOp, options.op) + "; compare sum");
  }
  if (options.dtype == qcclBfloat16 || options.dtype == qcclFloat8e4m3 || options.dtype == qcclFloat8e5m2) {
    throw ToolError(std::string("--against gloo: this Gloo has no ") + qcclEnumName(qcclEnumDataType, options.dtype) +
                    "; compare float32 or float16");
  }
  if (options.maxBytes > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    throw ToolError("--against gloo: Gloo's sums count elements in an int; keep --max below 2G");
  }
}

std::unique_ptr<Peer> makeGlooPeer(const Options& options, Rank& rank) {
  try {
    switch (options.dtype) {
      case qcclInt8:
        return std::make_unique<GlooPeer<std::int8_t>>(options, rank);
      case qcclUint8:
        return std::make_unique<GlooPeer<std::uint8_t>>(options, rank);
      case qcclInt32:
        return std::make_unique<GlooPeer<std::int32_t>>(options, rank);
      case qcclUint32:
        return std::make_unique<GlooPeer<std::uint32_t>>(options, rank);
      case qcclInt64:
        return std::make_unique<GlooPeer<std::int64_t>>(options, rank);
      case qcclUint64:
        return std::make_unique<GlooPeer<std::uint64_t>>(options, rank);
      case qcclFloat16:
        return std::make_unique<GlooPeer<gloo::float16>>(options, rank);
      case qcclFloat64:
        return std::make_unique<GlooPeer<double>>(options, rank);
      default:
        return std::make_unique<GlooPeer<float>>(options, rank);
    }
  } catch (const ToolError&) {
    throw;
  } catch (const std::exception& error) {
    throw ToolError(std::string("--against gloo: ") + error.what() + " (QCCL_INTERFACE chooses its interface)");
  }
}

}  // namespace qccl::bench
