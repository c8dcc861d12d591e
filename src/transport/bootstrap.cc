#include "transport/bootstrap.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "core/error.hpp"
#include "core/log.hpp"
#include "transport/inproc/inproc_hub.hpp"
#include "transport/rank_list.hpp"
#include "transport/tcp/control_tcp.hpp"
#include "transport/tcp/rendezvous_server.hpp"
#include "transport/ucx/ucx_transport.hpp"

namespace qccl::transport {
namespace {

constexpr std::chrono::milliseconds kLongestLinkTimeout{20000};

// The hub of a communicator whose ranks share this process: made by the first that asks, gone with the last that uses it.
std::shared_ptr<InprocHub> sharedHub(const RoomId& room, int size) {
  static std::mutex& mutex = *new std::mutex;
  static auto& hubs = *new std::map<RoomId, std::weak_ptr<InprocHub>>;
  const std::lock_guard lock(mutex);
  std::erase_if(hubs, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<InprocHub>& entry = hubs[room];
  std::shared_ptr<InprocHub> hub = entry.lock();
  if (hub == nullptr) {
    hub = makeInprocHub(size);
    entry = hub;
  }
  return hub;
}

// What each rank tells the others: the process it lives in, and the transport it was asked to use.
std::string encodeOffer(const std::string& transport) {
  const ProcessIdentity process = thisProcess();
  return std::string(reinterpret_cast<const char*>(process.token.data()), process.token.size()) + transport;
}
constexpr std::size_t kTokenBytes = sizeof(ProcessIdentity::token);

// The same answer on every rank, since all have the same offers.
std::string agreeOnTransport(const std::vector<std::string>& offers) {
  std::vector<int> elsewhere;
  for (std::size_t i = 0; i < offers.size(); ++i) {
    if (offers[i].size() < kTokenBytes)
      fail(qcclInternalError, "rank ", i, " made no valid offer of a transport: do all ranks use the same version of qccl?");
    if (offers[i].substr(kTokenBytes) != offers[0].substr(kTokenBytes)) {
      fail(qcclInvalidUsage, "the ranks were asked for different transports: rank 0 for ", offers[0].substr(kTokenBytes), ", rank ", i,
           " for ", offers[i].substr(kTokenBytes), "; set the same (QCCL_TRANSPORT or the communicator's configuration) on all");
    }
    if (offers[i].substr(0, kTokenBytes) != offers[0].substr(0, kTokenBytes)) elsewhere.push_back(static_cast<int>(i));
  }
  const std::string asked = offers[0].substr(kTokenBytes);
  if (asked == "inproc" && !elsewhere.empty()) {
    fail(qcclInvalidUsage, "transport inproc was asked for, but ", rankList(elsewhere), elsewhere.size() == 1 ? " is" : " are",
         " not in the process of rank 0; use transport ucx or auto");
  }
  if (asked != "auto") return asked;
  return elsewhere.empty() ? "inproc" : "ucx";
}

}  // namespace

std::chrono::milliseconds linkTimeout(const Settings& settings) {
  return std::min(kLongestLinkTimeout, std::chrono::milliseconds(settings.timeoutMs));
}

qcclUniqueId makeUniqueId(const Settings& settings, std::function<void()> onMeetingEnd) {
  UniqueIdFields fields;
  fields.secret = randomBytes<sizeof(Secret)>();
  fields.address = openRendezvous(chooseListenAddress(settings), fields.secret,
                                  {std::chrono::milliseconds(settings.timeoutMs), linkTimeout(settings), std::move(onMeetingEnd)});
  return encodeUniqueId(fields);
}

Membership joinTcp(const qcclUniqueId& id, int rank, int size, const Settings& settings) {
  if (size < 1 || size > kMaxRanks)
    fail(qcclInvalidArgument, "a communicator of ", size, " ranks was asked for; 1 to ", kMaxRanks, " are possible");
  if (rank < 0 || rank >= size)
    fail(qcclInvalidArgument, "rank ", rank, " was asked for in a communicator of ", size, " ranks; ranks are 0 to ", size - 1);
  const UniqueIdFields fields = decodeUniqueId(id);
  const Deadline deadline = Deadline::in(std::chrono::milliseconds(settings.timeoutMs));
  Membership member;
  member.control = TcpControl::join(fields, rank, size, deadline, linkTimeout(settings));
  try {
    const std::string transport = agreeOnTransport(member.control->allGather(encodeOffer(settings.transport), deadline));
    if (transport == "inproc") {
      member.transport = makeInprocTransport(sharedHub(roomOf(fields.secret), size), rank);
    } else {
      member.transport = makeUcxTransport(*member.control, settings, deadline);
    }
    // A hub that is shared, or a worker that others reach, must be there before the first message and before the first rank leaves.
    member.control->allGather("", deadline);
  } catch (const Error& error) {
    member.control->fail({error.code(), rank, error.what()});
    throw;
  }
  log(LogLevel::info, "rank ", rank, " of ", size, " joined over ", fields.address.text(), ", transport ", member.transport->name());
  return member;
}

}  // namespace qccl::transport
