// Every kind of all-reduce with reproducible inputs, as a hash of its result: to compare ranks, runs and transports.
#pragma once

#include <qccl/qccl.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "values.hpp"

namespace qccl::test {

struct AllReduceCase {
  int algorithm;
  int codec;
  qcclDataType_t dtype;
  std::size_t count;
  int rounding;

  std::string name() const {
    return std::string(qcclEnumName(qcclEnumAlgo, algorithm)) + " " + qcclEnumName(qcclEnumCodec, codec) + " " +
           qcclEnumName(qcclEnumDataType, dtype) + " " + std::to_string(count) + " " + qcclEnumName(qcclEnumRounding, rounding);
  }

  // The hash of the result on this rank; 0 with a message on stderr if the call fails. The noise of stochastic rounding depends on the
  // number of the call, so the cases are to be run in the same order.
  std::uint64_t run(qcclComm_t comm, int rank) const {
    std::vector<char> x(count * qcclTypeSize(dtype));
    const std::vector<float> values = normalValues(count, rank);
    for (std::size_t i = 0; i < count; ++i) {
      if (dtype == qcclFloat32) {
        std::memcpy(x.data() + 4 * i, &values[i], 4);
      } else {
        std::memcpy(x.data() + 2 * i, reinterpret_cast<const char*>(&values[i]) + 2, 2);  // bfloat16: the upper half
      }
    }
    qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
    quant.algorithm = algorithm;
    quant.codec = codec;
    quant.rounding = rounding;
    quant.seed = 3;
    quant.minBytes = 0;
    if (qcclAllReduceEx(x.data(), x.data(), count, dtype, qcclSum, &quant, comm, nullptr) != qcclSuccess) {
      std::fprintf(stderr, "%s: %s\n", name().c_str(), qcclGetLastError(comm));
      return 0;
    }
    return hashOf(x);
  }
};

inline std::vector<AllReduceCase> allReduceCases() {
  std::vector<AllReduceCase> cases;
  for (int algorithm = qcclAlgoOneshot; algorithm < qcclAlgoNccl; ++algorithm) {
    for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16}) {
      for (const std::size_t count : {std::size_t{1}, std::size_t{777}, std::size_t{150001}}) {
        cases.push_back({algorithm, qcclCodecNone, dtype, count, qcclRoundNearest});
        cases.push_back({algorithm, qcclCodecInt8, dtype, count, qcclRoundNearest});
        cases.push_back({algorithm, qcclCodecInt8, dtype, count, qcclRoundStochastic});
      }
    }
  }
  return cases;
}

inline std::string hexOf(const qcclUniqueId& id) {
  static const char* const digits = "0123456789abcdef";
  std::string text;
  for (const char c : id.internal) {
    text += digits[static_cast<unsigned char>(c) >> 4];
    text += digits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

inline void idFromHex(const std::string& text, qcclUniqueId* id) {
  for (std::size_t i = 0; i < sizeof(id->internal); ++i) id->internal[i] = static_cast<char>(std::stoi(text.substr(2 * i, 2), nullptr, 16));
}

}  // namespace qccl::test
