// Where the ranks of the local launcher find one another's unique ids: an anonymous file in memory that they inherit from the launcher.
// Nobody else can open it, and it is gone with the last process that holds it, however that ends.
#pragma once

#include <qccl/qccl.h>

#include <cstdint>
#include <optional>
#include <string>

#include "transport/tcp/socket.hpp"

namespace qccl::transport {

class LaunchBoard {
 public:
  // A new board, inherited by children across exec. Throws Error(qcclSystemError).
  static LaunchBoard create();

  // The board that QCCL_LAUNCH_BOARD and QCCL_LAUNCH_ID name. Throws Error(qcclInvalidUsage) if this process has not inherited it.
  static LaunchBoard inherited();

  int descriptor() const { return fd_.get(); }
  const std::string& id() const { return id_; }  // random, in hexadecimal: tells this launch from others

  void publish(std::uint64_t index, const qcclUniqueId& id) const;
  std::optional<qcclUniqueId> read(std::uint64_t index) const;  // nullopt: not published yet

 private:
  LaunchBoard(Fd fd, std::string id) : fd_(std::move(fd)), id_(std::move(id)) {}

  Fd fd_;
  std::string id_;
};

}  // namespace qccl::transport
