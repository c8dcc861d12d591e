#include <qccl/launch.h>

#include <algorithm>
#include <memory>
#include <thread>

#include "app/commands.hpp"
#include "app/train_run.hpp"

namespace qccl::train {

namespace {

int threadsFor(const TrainOptions& options, const qcclLaunchInfo_t& launch) {
  if (options.threads > 0) return options.threads;
  const int processors = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return std::max(1, processors / std::max(1, launch.localSize > 0 ? launch.localSize : launch.size));
}

int runTrain(const TrainOptions& options, char* const argv[]) {
  checkTrainOptions(options);
  qcclLaunchInfo_t launch{};
  checkQccl(qcclLaunchGetInfo(&launch), "the launcher's environment variables cannot be understood");
  if (options.ranks > 0 && options.ranks != launch.size) {
    if (launch.size > 1 || launch.launcher != std::string("none")) {
      failTrain("--ranks ", options.ranks, " was given, but ", launch.launcher, " started ", launch.size,
                " ranks; leave --ranks away under a launcher");
    }
    int exitCode = 1;
    checkQccl(qcclLaunchLocal(options.ranks, argv, &exitCode), "the ranks could not be started");
    return exitCode;
  }
  Group group(launch);
  TrainRun(options, group, threadsFor(options, launch)).run();
  return 0;
}

}  // namespace

Command addTrainCommand(CLI::App& app) {
  const auto options = std::make_shared<TrainOptions>();
  addTrainFlags(app, *options);
  return [options](char* const argv[]) { return runTrain(*options, argv); };
}

}  // namespace qccl::train
