#include "rank_processes.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

namespace qccl::test {
namespace {

constexpr std::chrono::seconds kLimit{90};

// Names in /dev/shm that hold one of the process numbers, and System V segments made by one of them.
std::string shmOf(const std::set<std::string>& pids) {
  std::string found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", error)) {
    const std::string name = entry.path().filename();
    for (const std::string& pid : pids) {
      if (name.find(pid) != std::string::npos) found += "/dev/shm/" + name + " ";
    }
  }
  std::ifstream segments("/proc/sysvipc/shm");
  std::string line;
  std::getline(segments, line);  // the header
  while (std::getline(segments, line)) {
    std::istringstream words(line);
    std::string key, id, permissions, bytes, creator;
    words >> key >> id >> permissions >> bytes >> creator;
    if (pids.contains(creator)) found += "System V segment " + id + " of process " + creator + " ";
  }
  return found;
}

}  // namespace

std::vector<ProcessResult> runRankProcesses(const std::string& scenario, int size, const std::vector<std::string>& ids,
                                            const std::map<std::string, std::string>& environment,
                                            const std::vector<std::vector<std::string>>& prefixes) {
  std::vector<ProcessResult> results(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (std::size_t rank = 0; rank < results.size(); ++rank) {
    std::vector<std::string> command = prefixes.empty() ? std::vector<std::string>{} : prefixes.at(rank);
    for (const std::string& word :
         {std::string(TRANSPORT_RANK_PROGRAM), std::string("run"), scenario, std::to_string(rank), std::to_string(size)})
      command.push_back(word);
    command.insert(command.end(), ids.begin(), ids.end());
    threads.emplace_back([&, rank, command] { results[rank] = runProcess(command, environment, kLimit); });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

std::vector<std::string> linesOf(const ProcessResult& result, const std::string& key) {
  std::vector<std::string> lines;
  std::istringstream in(result.out);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(key + " ")) lines.push_back(line.substr(key.size() + 1));
  }
  return lines;
}

std::string leftBehind(const std::vector<ProcessResult>& results) {
  std::set<std::string> pids;
  for (const ProcessResult& result : results) {
    for (const std::string& pid : linesOf(result, "pid")) pids.insert(pid);
  }
  if (pids.size() < results.size()) return "not every rank has said its pid";
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  std::string found = shmOf(pids);
  while (!found.empty() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    found = shmOf(pids);
  }
  return found;
}

std::string describe(const std::vector<ProcessResult>& results) {
  std::ostringstream text;
  for (std::size_t rank = 0; rank < results.size(); ++rank) {
    text << "--- rank " << rank << ": exit " << results[rank].exitCode << (results[rank].timedOut ? ", timed out" : "") << "\n"
         << results[rank].out << results[rank].err;
  }
  return text.str();
}

}  // namespace qccl::test
