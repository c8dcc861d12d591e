// How the ranks of a launch get the same unique ids: over the local launcher's board, a folder that all can read, or an agreed address with
// an agreed secret.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

#include "core/error.hpp"
#include "transport/bootstrap.hpp"
#include "transport/launch.hpp"
#include "transport/launch_board.hpp"
#include "transport/tcp/control_tcp.hpp"
#include "transport/tcp/rendezvous_server.hpp"

namespace qccl::transport {
namespace {

constexpr std::chrono::milliseconds kPollPause{10};
// How long an id found in a file may take to prove that its rendezvous is alive.
constexpr std::chrono::seconds kProbeLimit{3};

// Asks until there is an answer.
qcclUniqueId waitForId(const LaunchInfo& info, Deadline deadline, std::uint64_t index, const std::string& where,
                       const std::function<std::optional<qcclUniqueId>()>& ask) {
  while (true) {
    if (const std::optional<qcclUniqueId> id = ask()) return *id;
    if (deadline.passed()) {
      fail(qcclTimeout, "rank ", info.rank, " waited in vain for rank 0 to leave unique id ", index, " (counted from 0) in ", where,
           " before its timeout (QCCL_TIMEOUT_MS): does rank 0 run, and does every rank ask for the same number of ids?");
    }
    std::this_thread::sleep_for(std::min<Deadline::Clock::duration>(kPollPause, deadline.left()));
  }
}

qcclUniqueId idFromBoard(const LaunchInfo& info, const Settings& settings, Deadline deadline, std::uint64_t index) {
  const LaunchBoard board = LaunchBoard::inherited();
  if (info.rank != 0) return waitForId(info, deadline, index, "the local launcher's board", [&] { return board.read(index); });
  const qcclUniqueId id = makeUniqueId(settings);
  board.publish(index, id);
  return id;
}

// What tells this launch from others that run on the same host at the same time, as far as its launcher says it.
std::string jobName(const LaunchInfo& info) {
  std::string name = info.launcher;
  for (const char* variable : {"TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT", "PMIX_NAMESPACE",
                               "OMPI_MCA_ess_base_jobid", "PMI_JOBID", "PMI_PORT", "SLURM_JOB_ID", "SLURM_STEP_ID"}) {
    if (const char* const value = std::getenv(variable); value != nullptr) name += strCat("-", value);
  }
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '.') c = '_';
  }
  constexpr std::size_t kLongest = 120;
  if (name.size() > kLongest) {
    const Digest digest = sha256(name);
    name = name.substr(0, kLongest) + "-" + toHex(digest.data(), 8);
  }
  return strCat(name, "-", info.size);
}

std::optional<qcclUniqueId> readIdFile(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  qcclUniqueId id;
  if (!fd.valid() || read(fd.get(), &id, sizeof id) != static_cast<ssize_t>(sizeof id)) return std::nullopt;
  return id;
}

void writeIdFile(const std::string& folder, const std::string& path, const qcclUniqueId& id) {
  const auto random = randomBytes<8>();
  const std::string draft = strCat(folder, "/.", toHex(random.data(), random.size()));
  const Fd fd(open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) failErrno(strCat("rank 0 cannot leave the unique id in ", folder, " (see QCCL_RENDEZVOUS)"), errno);
  if (write(fd.get(), &id, sizeof id) != static_cast<ssize_t>(sizeof id) || rename(draft.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(draft.c_str());
    failErrno(strCat("rank 0 cannot leave the unique id in ", folder, " (see QCCL_RENDEZVOUS)"), error);
  }
}

// In a folder that all ranks see. A file of an earlier launch is ignored: its rendezvous does not answer any more.
qcclUniqueId idFromFolder(const LaunchInfo& info, const Settings& settings, Deadline deadline, std::uint64_t index,
                          const std::string& folder, bool removeFolder) {
  const std::string path = strCat(folder, "/", jobName(info), ".", index, ".id");
  if (info.rank == 0) {
    const qcclUniqueId id = makeUniqueId(settings, [path, folder, removeFolder] {
      unlink(path.c_str());
      if (removeFolder) rmdir(folder.c_str());  // only when empty
    });
    writeIdFile(folder, path, id);
    return id;
  }
  return waitForId(info, deadline, index, folder, [&]() -> std::optional<qcclUniqueId> {
    const std::optional<qcclUniqueId> id = readIdFile(path);
    if (!id.has_value()) return std::nullopt;
    try {
      const Deadline probe =
          std::min(Deadline::in(kProbeLimit), deadline, [](const Deadline& a, const Deadline& b) { return a.at() < b.at(); });
      if (rendezvousIsWaiting(decodeUniqueId(*id), probe)) return id;
    } catch (const Error&) {
      // Not an id, or of a host that cannot be reached: left by something else. Rank 0 will replace it.
    }
    return std::nullopt;
  });
}

// A folder below the temporary directory that belongs to this user alone.
std::string privateFolder() {
  const char* const variable = std::getenv("TMPDIR");
  const std::string folder = strCat(variable != nullptr && *variable == '/' ? variable : "/tmp", "/qccl-", geteuid());
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    failErrno(strCat("the folder ", folder, ", where the ranks would meet, cannot be made (see QCCL_RENDEZVOUS)"), errno);
  struct stat status {};
  if (lstat(folder.c_str(), &status) != 0) failErrno(strCat("the folder ", folder, ", where the ranks would meet"), errno);
  if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077) != 0) {
    fail(qcclSystemError, folder,
         ", where the ranks would meet, is not a folder that belongs to this user alone (mode 0700): remove it, or set QCCL_RENDEZVOUS");
  }
  return folder;
}

// Every rank computes the same id; rank 0 opens the rendezvous that it names.
qcclUniqueId idFromAddress(const LaunchInfo& info, const Settings& settings, std::uint64_t index, const std::string& hostAndPort) {
  if (settings.secret.empty()) {
    fail(qcclInvalidUsage, "QCCL_RENDEZVOUS=tcp://", hostAndPort,
         " needs QCCL_SECRET: set it to the same text, known to nobody else, on all ranks");
  }
  UniqueIdFields fields;
  fields.address = resolve(hostAndPort);
  fields.mayStartLater = true;
  const Digest key = sha256(settings.secret);
  fields.secret = hmacSha256(asBytes(key), strCat("qccl launch of ", info.size, " ranks, id ", index));
  if (info.rank == 0) {
    openRendezvous(fields.address, fields.secret, {std::chrono::milliseconds(settings.timeoutMs), linkTimeout(settings), {}});
  }
  return encodeUniqueId(fields);
}

void requireOneHost(const LaunchInfo& info) {
  const char* const nodes = std::getenv("SLURM_STEP_NUM_NODES");
  if ((info.localSize > 0 && info.localSize < info.size) || (nodes != nullptr && std::strcmp(nodes, "1") != 0)) {
    fail(qcclInvalidUsage,
         "the ranks of this launch are on several hosts: set QCCL_RENDEZVOUS to dir:/a/shared/folder, or to tcp://host-of-rank-0:port "
         "together with "
         "QCCL_SECRET, so that they can meet");
  }
}

}  // namespace

qcclUniqueId launchUniqueId(const LaunchInfo& info, const Settings& settings) {
  static std::atomic<std::uint64_t> calls{0};
  const std::uint64_t index = calls.fetch_add(1);
  if (info.size == 1) return makeUniqueId(settings);
  const Deadline deadline = Deadline::in(std::chrono::milliseconds(settings.timeoutMs));
  if (std::strcmp(info.launcher, "qccl") == 0) return idFromBoard(info, settings, deadline, index);
  constexpr std::string_view kFolder = "dir:";
  constexpr std::string_view kAddress = "tcp://";
  const std::string& where = settings.rendezvous;
  if (where.starts_with(kFolder))
    return idFromFolder(info, settings, deadline, index, where.substr(kFolder.size()), /*removeFolder=*/false);
  if (where.starts_with(kAddress)) return idFromAddress(info, settings, index, where.substr(kAddress.size()));
  requireOneHost(info);
  return idFromFolder(info, settings, deadline, index, privateFolder(), /*removeFolder=*/true);
}

}  // namespace qccl::transport
