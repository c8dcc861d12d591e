#include "transport/tcp/room.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "transport/rank_list.hpp"

namespace qccl::transport {

Room::Room(const Secret& secret, Deadline deadline, std::chrono::milliseconds linkTimeout, Send send)
    : secret_(secret), deadline_(deadline), linkTimeout_(linkTimeout), send_(std::move(send)) {}

std::optional<Failure> Room::admit(const Hello& hello) {
  const auto refuse = [&](const auto&... words) { return Failure{qcclInvalidUsage, static_cast<int>(hello.rank), strCat(words...)}; };
  if (hello.size == 0 || hello.size > kMaxMembers)
    return refuse("a communicator of ", hello.size, " ranks was asked for; 1 to ", kMaxMembers, " are possible");
  if (hello.rank >= hello.size)
    return refuse("rank ", hello.rank, " was asked for in a communicator of ", hello.size, " ranks; ranks are 0 to ", hello.size - 1);
  const auto rank = static_cast<int>(hello.rank);
  if (members_.empty()) {
    members_.resize(hello.size);
    sizeSayer_ = rank;
  }
  if (members_.size() != hello.size) {
    const Failure differ =
        refuse("the ranks disagree on their number: rank ", sizeSayer_, " says ", members_.size(), ", rank ", rank, " says ", hello.size);
    fail(differ);  // it holds the id and was meant to be one of them, so they cannot become complete
    return differ;
  }
  if (failure_.has_value()) {
    member(rank).heard = true;
    return failure_;
  }
  if (member(rank).heard) {
    return refuse("rank ", rank, " has already joined (", describe(rank), "): two processes were given the same rank and unique id");
  }
  member(rank).here = true;
  member(rank).heard = true;
  member(rank).process = hello.process;
  ++membersHere_;
  ++joined_;
  return std::nullopt;
}

void Room::announceIfComplete() {
  if (met_ || failure_.has_value() || joined_ != static_cast<int>(members_.size())) return;
  met_ = true;
  const ProcessIdentity own = thisProcess();
  std::vector<int> ownRanks;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].process.token == own.token) ownRanks.push_back(static_cast<int>(i));
  }
  broadcast(encodeFrame(FrameType::joined, encodeRanks(ownRanks)), /*last=*/false);
}

void Room::handle(int rank, const Frame& frame) {
  if (failure_.has_value()) return;  // on its way to the rank
  switch (frame.type) {
    case FrameType::gather: {
      if (!met_ || member(rank).contribution.has_value())
        qccl::fail(qcclInternalError, "rank ", rank, " contributed twice to one exchange");
      member(rank).contribution = frame.payload;
      if (failIfLeftBehind()) return;
      if (!missing(WaitingFor::gather).empty()) return;
      std::vector<std::string> texts;
      texts.reserve(members_.size());
      for (Member& each : members_) {
        texts.push_back(std::move(*each.contribution));
        each.contribution.reset();
      }
      broadcast(encodeFrame(FrameType::gathered, encodeTexts(texts)), /*last=*/false);
      return;
    }
    case FrameType::fail:
      fail(decodeFailure(frame.payload));
      return;
    case FrameType::leave:
      member(rank).left = true;
      if (failIfLeftBehind()) return;
      if (missing(WaitingFor::leave).empty()) broadcast(encodeFrame(FrameType::allLeft, ""), /*last=*/true);
      return;
    case FrameType::askMissing: {
      const auto what = frame.payload.empty() ? WaitingFor::join : static_cast<WaitingFor>(frame.payload.front());
      send_(rank, encodeFrame(FrameType::missing, encodeRanks(missing(what))), /*last=*/false);
      return;
    }
    case FrameType::askStatus:
      broadcast(encodeFrame(FrameType::statusWanted, ""), /*last=*/false);
      return;
    case FrameType::status:
      broadcast(encodeFrame(FrameType::statusOf, frame.payload), /*last=*/false);
      return;
    default:
      qccl::fail(qcclInternalError, "rank ", rank, " sent a message of unknown type ", static_cast<int>(frame.type));
  }
}

void Room::memberGone(int rank, const std::string& why) {
  if (!member(rank).here) return;
  member(rank).here = false;
  --membersHere_;
  if (!member(rank).left) fail({qcclRemoteError, rank, strCat("rank ", rank, " is gone (", describe(rank), "): ", why)});
}

void Room::fail(const Failure& failure) {
  if (failure_.has_value()) return;
  failure_ = failure;
  broadcast(encodeFrame(FrameType::failed, encodeFailure(failure)), /*last=*/true);
}

void Room::giveUp() {
  if (members_.empty()) {
    fail({qcclTimeout, -1, "no rank came to the rendezvous before its timeout"});
    return;
  }
  fail({qcclTimeout, -1,
        strCat(rankList(missing(WaitingFor::join)), " did not come to the rendezvous before its timeout (QCCL_TIMEOUT_MS), ", joined_,
               " of ", members_.size(), " ranks did: was every rank started, with the same unique id?")});
}

// An exchange that a rank has left can never be complete.
bool Room::failIfLeftBehind() {
  std::vector<int> left;
  int waiting = -1;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].left) left.push_back(static_cast<int>(i));
    if (members_[i].contribution.has_value()) waiting = static_cast<int>(i);
  }
  if (left.empty() || waiting < 0) return false;
  fail({qcclInvalidUsage, left.front(), strCat(rankList(left), " left the communicator while rank ", waiting, " still exchanges with it")});
  return true;
}

bool Room::everyoneHeard() const {
  return !members_.empty() && std::all_of(members_.begin(), members_.end(), [](const Member& each) { return each.heard; });
}

std::vector<int> Room::missing(WaitingFor what) const {
  std::vector<int> ranks;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const Member& each = members_[i];
    const bool done = what == WaitingFor::join ? each.heard : what == WaitingFor::gather ? each.contribution.has_value() : each.left;
    if (!done) ranks.push_back(static_cast<int>(i));
  }
  return ranks;
}

void Room::broadcast(const std::string& frame, bool last) {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (!members_[i].here) continue;
    if (last) {
      members_[i].here = false;
      --membersHere_;
    }
    send_(static_cast<int>(i), frame, last);
  }
}

std::string Room::describe(int rank) const {
  const ProcessIdentity& process = members_[static_cast<std::size_t>(rank)].process;
  return strCat("process ", process.pid, " on ", process.host);
}

}  // namespace qccl::transport
