#include "codec/format_option.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/types.hpp"
#include "quant/kernels.hpp"

namespace qccl::quant {

bool takeFormat(const char* program, int* argc, char** argv, PackedFormat* format) {
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    const std::string argument = argv[i];
    const std::string value = argument.substr(std::min(argument.size(), argument.find('=') + 1));
    if (argument.starts_with("--block=")) {
      format->blockElems = std::strtoul(value.c_str(), nullptr, 10);
    } else if (argument.starts_with("--codec=")) {
      format->codec = static_cast<qcclCodec_t>(enumValue(qcclEnumCodec, value.c_str()));
    } else if (argument.starts_with("--scale=")) {
      format->scale = static_cast<qcclScale_t>(enumValue(qcclEnumScale, value.c_str()));
    } else {
      argv[kept++] = argv[i];
    }
  }
  argv[kept] = nullptr;
  *argc = kept;
  const auto refuse = [&](const std::string& sentence) {
    std::fprintf(stderr, "%s: %s\n", program, sentence.c_str());
    return false;
  };
  if (!isValidBlock(format->blockElems)) return refuse("--block must be a power of two from 32 to 4096");
  if (codecKernels(format->codec, qcclFloat32) == nullptr)
    return refuse("--codec must be one of " + enumNames(qcclEnumCodec) + ", not none");
  if (format->scale < 0) return refuse("--scale must be one of " + enumNames(qcclEnumScale));
  return true;
}

}  // namespace qccl::quant
