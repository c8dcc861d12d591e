#include "transport/bootstrap.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "core/error.hpp"
#include "core/log.hpp"
#include "transport/host_identity.hpp"
#include "transport/inproc/inproc_hub.hpp"
#include "transport/rank_list.hpp"
#include "transport/tcp/control_tcp.hpp"
#include "transport/tcp/protocol.hpp"
#include "transport/tcp/rendezvous_server.hpp"
#include "transport/ucx/ucx_transport.hpp"

namespace qccl::transport {
namespace {

constexpr std::chrono::milliseconds kLongestLinkTimeout{20000};

// What the ranks of a communicator share when they share this process.
struct SharedPlace {
  std::shared_ptr<InprocHub> hub;
  std::shared_ptr<InprocGroup> group;
};

// Made by the first rank that asks; the map's hold ends when all have one (dropSharedPlace).
std::mutex& placesMutex() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}
std::map<RoomId, SharedPlace>& places() {
  static auto& map = *new std::map<RoomId, SharedPlace>;
  return map;
}

SharedPlace sharedPlace(const RoomId& room, int size) {
  const std::lock_guard lock(placesMutex());
  SharedPlace& place = places()[room];
  if (place.hub == nullptr) place = {makeInprocHub(size), makeInprocGroup(size)};
  return place;
}

void dropSharedPlace(const RoomId& room) {
  const std::lock_guard lock(placesMutex());
  places().erase(room);
}

// What each rank tells the others: the process and the host it lives in, and the transport it was asked to use.
struct Offer {
  std::string process;
  std::string host;
  std::string transport;
};

std::string encodeOffer(const std::string& transport) {
  const ProcessIdentity process = thisProcess();
  return encodeTexts({toHex(process.token.data(), process.token.size()), thisHost(), transport});
}

std::vector<Offer> decodeOffers(const std::vector<std::string>& texts) {
  std::vector<Offer> offers;
  for (const std::string& text : texts) {
    const std::vector<std::string> parts = decodeTexts(text);
    if (parts.size() != 3)
      fail(qcclInternalError, "rank ", offers.size(), " made no valid offer of a transport: do all ranks use the same version of qccl?");
    offers.push_back({parts[0], parts[1], parts[2]});
  }
  return offers;
}

// The same answer on every rank, since all have the same offers.
std::string agreeOnTransport(const std::vector<Offer>& offers) {
  const std::string& asked = offers[0].transport;
  std::vector<int> elsewhere;
  for (std::size_t i = 0; i < offers.size(); ++i) {
    if (offers[i].transport != asked) {
      fail(qcclInvalidUsage, "the ranks were asked for different transports: rank 0 for ", asked, ", rank ", i, " for ",
           offers[i].transport, "; set the same (QCCL_TRANSPORT or the communicator's configuration) on all");
    }
    if (offers[i].process != offers[0].process) elsewhere.push_back(static_cast<int>(i));
  }
  if (asked == "inproc" && !elsewhere.empty()) {
    fail(qcclInvalidUsage, "transport inproc was asked for, but ", rankList(elsewhere), elsewhere.size() == 1 ? " is" : " are",
         " not in the process of rank 0; use transport ucx or auto");
  }
  if (asked != "auto") return asked;
  return elsewhere.empty() ? "inproc" : "ucx";
}

std::vector<int> hostsOf(const std::vector<Offer>& offers) {
  std::vector<std::string> hosts;
  for (const Offer& offer : offers) hosts.push_back(offer.host);
  return numberHosts(hosts);
}

// For ranks that turn out to share this process: the connections have done their part once all hold the shared place.
Membership meetInProcess(const RoomId& room, Control& control, Deadline deadline) {
  Membership member;
  try {
    const SharedPlace place = sharedPlace(room, control.size());
    member.control = makeInprocControl(place.group, control.rank());
    member.transport = makeInprocTransport(place.hub, control.rank());
    control.allGather("", deadline);
  } catch (...) {
    dropSharedPlace(room);
    throw;
  }
  dropSharedPlace(room);
  control.leave(deadline);
  return member;
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
  if (size < 1 || size > kMaxMembers)
    fail(qcclInvalidArgument, "a communicator of ", size, " ranks was asked for; 1 to ", kMaxMembers, " are possible");
  if (rank < 0 || rank >= size)
    fail(qcclInvalidArgument, "rank ", rank, " was asked for in a communicator of ", size, " ranks; ranks are 0 to ", size - 1);
  const UniqueIdFields fields = decodeUniqueId(id);
  const Deadline deadline = Deadline::in(std::chrono::milliseconds(settings.timeoutMs));
  std::unique_ptr<Control> control = TcpControl::join(fields, rank, size, deadline, linkTimeout(settings));
  Membership member;
  try {
    const std::vector<Offer> offers = decodeOffers(control->allGather(encodeOffer(settings.transport), deadline));
    if (agreeOnTransport(offers) == "inproc") {
      member = meetInProcess(roomOf(fields.secret), *control, deadline);
    } else {
      member.transport = makeUcxTransport(*control, hostsOf(offers), settings, deadline);
      control->allGather("", deadline);  // every worker can be reached before the first message, and before the first rank leaves
      member.control = std::move(control);
    }
    member.hosts = hostsOf(offers);
  } catch (const Error& error) {
    if (control != nullptr) control->fail({error.code(), rank, strCat("rank ", rank, " could not join: ", error.what())});
    throw;
  }
  log(LogLevel::info, "rank ", rank, " of ", size, " joined over ", fields.address.text(), ", transport ", member.transport->name());
  return member;
}

}  // namespace qccl::transport
