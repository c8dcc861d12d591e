// One communicator as the root sees it: who has come, what is being exchanged, who has left, and what went wrong. Knows no sockets: what is
// to be sent goes through a callback. Used by one thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/deadline.hpp"
#include "transport/tcp/protocol.hpp"

namespace qccl::transport {

// What an askMissing frame asks about.
enum class WaitingFor : std::uint8_t { join = 0, gather = 1, leave = 2 };

class Room {
 public:
  // send(rank, frame) queues bytes for a member. `last` says that nothing will follow: the connection may be ended.
  using Send = std::function<void(int rank, const std::string& frame, bool last)>;

  Room(const Secret& secret, Deadline deadline, std::chrono::milliseconds linkTimeout, Send send);

  const Secret& secret() const { return secret_; }
  Deadline deadline() const { return deadline_; }
  std::chrono::milliseconds linkTimeout() const { return linkTimeout_; }

  bool gathering() const { return !met_ && !failure_.has_value(); }
  bool failed() const { return failure_.has_value(); }
  // Nobody is connected and nobody else needs to hear anything.
  bool over() const { return membersHere_ == 0 && (met_ || everyoneHeard() || deadline_.passed()); }

  // A rank that has proven the secret. nullopt: it is a member now; otherwise why not: to be sent to it as the last message.
  std::optional<Failure> admit(const Hello& hello);

  // To be called after a successful admit, when frames can be sent to the member.
  void announceIfComplete();

  // A frame from a member. Throws Error for what the protocol does not allow.
  void handle(int rank, const Frame& frame);

  // A member's connection has ended; `why` in words ("its connection ended without a goodbye").
  void memberGone(int rank, const std::string& why);

  void fail(const Failure& failure);

  // Called when the deadline has passed while still gathering.
  void giveUp();

 private:
  struct Member {
    bool here = false;   // connected and not yet told the last message
    bool heard = false;  // has been here, or was refused because the room had failed
    bool left = false;
    std::optional<std::string> contribution;
    ProcessIdentity process;
  };

  Member& member(int rank) { return members_[static_cast<std::size_t>(rank)]; }
  bool everyoneHeard() const;
  bool failIfLeftBehind();
  std::vector<int> missing(WaitingFor what) const;
  void broadcast(const std::string& frame, bool last);
  std::string describe(int rank) const;

  const Secret secret_;
  const Deadline deadline_;
  const std::chrono::milliseconds linkTimeout_;
  const Send send_;
  std::vector<Member> members_;  // empty until the first rank has said how many they are
  int sizeSayer_ = -1;           // the rank that did
  int membersHere_ = 0;
  int joined_ = 0;
  bool met_ = false;
  std::optional<Failure> failure_;
};

}  // namespace qccl::transport
