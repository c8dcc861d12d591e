// From the user's configuration and the environment to what a communicator is made with.
#pragma once

#include "collectives/communicator.hpp"
#include "core/settings.hpp"

namespace qccl::api {

struct CommConfig {
  collectives::CommunicatorOptions options;
  Settings settings;  // of the environment, with the user's transport and timeout in their place
};

// config may be NULL. Throws Error(qcclInvalidArgument) for a configuration that was not made with QCCL_CONFIG_INITIALIZER, for values out
// of range, and for a bad setting in the environment.
CommConfig resolveConfig(const qcclConfig_t* config);

}  // namespace qccl::api
