// One rank as a process of its own, for the tests.
//
//   transport_rank run SCENARIO RANK SIZE ID...   joins with the given ids: hexadecimal, "make:FILE" (makes the id and leaves it there) or
//   "read:FILE" transport_rank launched SCENARIO              joins as the launcher says transport_rank local N ARGUMENT... starts itself N
//   times with the arguments transport_rank info                           prints what the launcher says
//
// A scenario is one of the conformance suite or of the failures below. Prints lines "pid N", "transport NAME", "hosts H...", "error CODE
// SENTENCE", "waited", "done"; ends with 0 when the scenario went as it says.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "conformance.hpp"
#include "core/error.hpp"
#include "transport/bootstrap.hpp"
#include "transport/launch.hpp"
#include "transport/tcp/random.hpp"

namespace qccl::test {
namespace {

using transport::Membership;

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void introduce(const Membership& member) {
  say(strCat("transport ", member.transport->name()));
  std::string hosts = "hosts";
  for (const int host : member.hosts) hosts += strCat(" ", host);
  say(hosts);
}

Settings rankSettings() {
  Settings settings = readSettings();
  if (std::getenv("QCCL_TIMEOUT_MS") == nullptr) settings.timeoutMs = 60000;
  return settings;
}

qcclUniqueId fromHex(const std::string& text) {
  qcclUniqueId id;
  if (text.size() != 2 * sizeof id) throw std::runtime_error("an id of " + std::to_string(text.size()) + " digits");
  for (std::size_t i = 0; i < sizeof id; ++i) id.internal[i] = static_cast<char>(std::stoi(text.substr(2 * i, 2), nullptr, 16));
  return id;
}

qcclUniqueId takeId(const std::string& where) {
  if (where.starts_with("make:")) {
    const std::string path = where.substr(5);
    const qcclUniqueId id = transport::makeUniqueId(rankSettings());
    std::ofstream(path + ".draft") << transport::toHex(&id, sizeof id);
    if (std::rename((path + ".draft").c_str(), path.c_str()) != 0) throw std::runtime_error("cannot write " + path);
    return id;
  }
  if (!where.starts_with("read:")) return fromHex(where);
  const Deadline deadline = Deadline::in(std::chrono::seconds(60));
  while (!deadline.passed()) {
    std::string text;
    if (std::ifstream(where.substr(5)) >> text) return fromHex(text);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  throw std::runtime_error("no id came to " + where);
}

// --- Failures: "NAME:VICTIM". Survivors wait for a message of the victim that will never come. ---

void reportFailure(const Membership& member, const std::function<void()>& wait) {
  try {
    wait();
    say("error 0 no error");
  } catch (const Error& error) {
    say(strCat("error ", error.code(), " ", error.what()));
  }
  // The control channel's own story follows within moments when the transport was first to notice.
  const Deadline deadline = Deadline::in(std::chrono::seconds(30));
  while (!member.control->failed() && !deadline.passed()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  say(strCat("control ", member.control->failure().code, " ", member.control->failure().what));
}

struct InFlight {
  std::vector<char> incoming = std::vector<char>(1 << 20);
  std::vector<char> outgoing = std::vector<char>(8 << 20, 'o');
  std::unique_ptr<transport::Request> receive;
  std::unique_ptr<transport::Request> send;
};

// A receive from the victim, and a send to it that it does not take.
std::unique_ptr<InFlight> occupy(const Membership& member, int victim) {
  auto flight = std::make_unique<InFlight>();
  flight->receive = member.transport->recv(victim, 1, flight->incoming.data(), flight->incoming.size());
  flight->send = member.transport->send(victim, 2, flight->outgoing.data(), flight->outgoing.size());
  try {
    static_cast<void>(flight->send->poll());
  } catch (const Error&) {
    // The victim is gone already; the wait that follows says so too.
  }
  return flight;
}

void die(const Membership& member, int victim) {
  barrier(member);
  if (member.control->rank() == victim) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // let the others wait by then
    raise(SIGKILL);
  }
  const auto flight = occupy(member, victim);
  reportFailure(member, [&] { finish(member, *flight->receive); });
}

// The victim has a child, forked and not exec'd, that lives on: its copies of the victim's connections must not hide the death.
void dieWithChild(const Membership& member, int victim) {
  barrier(member);
  if (member.control->rank() == victim) {
    const pid_t child = fork();
    if (child == 0) {
      setsid();  // not among those that the test kills with the victim
      close(STDOUT_FILENO);
      close(STDERR_FILENO);
      alarm(40);
      while (true) pause();
    }
    say(strCat("child ", child));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    raise(SIGKILL);
  }
  const auto flight = occupy(member, victim);
  reportFailure(member, [&] { finish(member, *flight->receive, std::chrono::seconds(20)); });
}

// A process that ends in order, but without leaving.
void quit(const Membership& member, int victim) {
  barrier(member);
  if (member.control->rank() == victim) std::exit(0);
  const auto flight = occupy(member, victim);
  reportFailure(member, [&] { finish(member, *flight->receive); });
}

void stop(const Membership& member, int victim) {
  const auto pids = member.control->allGather(std::to_string(getpid()), Deadline::in(std::chrono::seconds(60)));
  if (member.control->rank() == victim) raise(SIGSTOP);
  const auto flight = occupy(member, victim);
  try {
    finish(member, *flight->receive, std::chrono::milliseconds(1000));
    throw std::logic_error("a stopped rank has sent something");
  } catch (const Error& error) {
    say(strCat("early ", error.what()));  // another rank was faster to give up
  } catch (const std::runtime_error&) {
    say("waited in vain");
    member.control->fail({qcclTimeout, victim, strCat("rank ", victim, " makes no progress")});
  }
  reportFailure(member, [&] { member.control->throwIfFailed(); });
  if (member.control->rank() == (victim == 0 ? 1 : 0)) kill(std::stoi(pids[static_cast<std::size_t>(victim)]), SIGKILL);
}

void report(const Membership& member, int reporter) {
  barrier(member);
  if (member.control->rank() == reporter)
    member.control->fail({qcclInvalidUsage, reporter, strCat("rank ", reporter, " saw different counts")});
  const int peer = (member.control->rank() + 1) % member.control->size();
  char byte = 0;
  const auto receive = member.transport->recv(peer, 1, &byte, 1);
  reportFailure(member, [&] { finish(member, *receive); });
}

// QCCL_TEST_CUT holds a command that cuts the network between the ranks; `cutter` runs it.
void cut(const Membership& member, int cutter) {
  barrier(member);
  const int me = member.control->rank();
  const auto flight = occupy(member, me == 0 ? 1 : 0);
  if (me == cutter && std::system(std::getenv("QCCL_TEST_CUT")) != 0) throw std::runtime_error("the network was not cut");
  reportFailure(member, [&] { finish(member, *flight->receive); });
}

using FailureScenario = void (*)(const Membership&, int);

FailureScenario findFailure(const std::string& name) {
  if (name == "die") return die;
  if (name == "dieWithChild") return dieWithChild;
  if (name == "quit") return quit;
  if (name == "stop") return stop;
  if (name == "report") return report;
  if (name == "cut") return cut;
  return nullptr;
}

int runScenario(const std::string& name, const Join& join) {
  if (const Scenario* scenario = findScenario(name)) {
    scenario->run(join);
    say("done");
    return 0;
  }
  const std::size_t colon = name.find(':');
  const FailureScenario failure = findFailure(name.substr(0, colon));
  if (failure == nullptr || colon == std::string::npos) throw std::runtime_error("no scenario " + name);
  const Membership member = join();
  failure(member, std::stoi(name.substr(colon + 1)));
  say("done");
  return 0;
}

// For tests of the launcher: what a rank does that is no scenario.
int runLaunched(const std::string& name) {
  const transport::LaunchInfo info = transport::readLaunchInfo();
  say(strCat("launch ", info.launcher, " ", info.rank, " ", info.size, " ", info.localRank, " ", info.localSize));
  if (name.starts_with("exit:") && info.rank == std::stoi(name.substr(5))) return 42;
  if (name.starts_with("kill:") && info.rank == std::stoi(name.substr(5))) raise(SIGKILL);
  if (name.starts_with("exit:") || name.starts_with("kill:") || name == "sleep") {
    std::this_thread::sleep_for(std::chrono::seconds(60));  // until a signal comes
    return 7;
  }
  if (name == "stubborn") {
    signal(SIGTERM, SIG_IGN);
    if (info.rank == 0) return 3;
    std::this_thread::sleep_for(std::chrono::seconds(60));
    return 7;
  }
  if (name == "noticing") {  // rank 0 ends by itself when it is told to
    signal(SIGUSR1, [](int) { _exit(1); });
    say(strCat("rank", info.rank, " ", getpid()));
    std::this_thread::sleep_for(std::chrono::seconds(60));
    return 7;
  }
  const Settings settings = rankSettings();
  return runScenario(name, [&] {
    Membership member = transport::joinTcp(transport::launchUniqueId(info, settings), info.rank, info.size, settings);
    introduce(member);
    return member;
  });
}

int runGiven(const std::string& name, int rank, int size, const std::vector<std::string>& ids) {
  std::size_t next = 0;
  const Settings settings = rankSettings();
  return runScenario(name, [&] {
    Membership member = transport::joinTcp(takeId(ids.at(next++)), rank, size, settings);
    introduce(member);
    return member;
  });
}

int runCommand(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() >= 2 && words[0] == "local") {
    if (std::strcmp(transport::readLaunchInfo().launcher, "qccl") == 0) throw std::runtime_error("a rank must not launch again");
    std::vector<char*> arguments = {argv[0]};
    for (int i = 3; i < argc; ++i) arguments.push_back(argv[i]);
    arguments.push_back(nullptr);
    say(strCat("launcher ", getpid()));
    return transport::launchLocal(std::stoi(words[1]), arguments.data());
  }
  say(strCat("pid ", getpid()));
  if (words.size() == 1 && words[0] == "info") {
    const transport::LaunchInfo info = transport::readLaunchInfo();
    say(strCat("launch ", info.launcher, " ", info.rank, " ", info.size, " ", info.localRank, " ", info.localSize));
    return 0;
  }
  if (words.size() == 2 && words[0] == "launched") return runLaunched(words[1]);
  if (words.size() >= 5 && words[0] == "run")
    return runGiven(words[1], std::stoi(words[2]), std::stoi(words[3]), {words.begin() + 4, words.end()});
  throw std::runtime_error("see the top of transport_rank.cc");
}

}  // namespace
}  // namespace qccl::test

int main(int argc, char** argv) {
  try {
    return qccl::test::runCommand(argc, argv);
  } catch (const qccl::Error& error) {
    std::printf("exception %d %s\n", error.code(), error.what());
  } catch (const std::exception& error) {
    std::printf("exception %s\n", error.what());
  }
  return 1;
}
