// extern "C": what the library is and can say about itself.
#include <algorithm>
#include <cstdlib>

#include "api/guard.hpp"
#include "api/handles.hpp"
#include "collectives/algorithm_table.hpp"
#include "core/settings.hpp"
#include "core/types.hpp"
#include "quant/kernels.hpp"

namespace qccl::api {

std::string& lastError() {
  thread_local std::string text;
  return text;
}

namespace {

const std::string& buildInfo() {
  static const std::string text = strCat("version: ", QCCL_VERSION_STRING, "\n", "compiler: ", __VERSION__, "\n",
                                         "build type: ", QCCL_BUILD_TYPE, "\n", "wire format: ", quant::kWireFormatVersion, "\n",
                                         "devices: host memory\n", "host kernels: ", quant::kernelIsa(), "\n", "transports: inproc, ucx\n");
  return text;
}

}  // namespace
}  // namespace qccl::api

using namespace qccl::api;  // NOLINT(google-build-using-namespace): this file is the border

extern "C" {

qcclResult_t qcclGetVersion(int* version) {
  return guard([&] {
    requireNonNull(version, "qcclGetVersion", "version");
    *version = QCCL_VERSION_CODE;
  });
}

const char* qcclGetErrorString(qcclResult_t result) {
  switch (result) {
    case qcclSuccess:
      return "no error";
    case qcclUnhandledCudaError:
      return "a CUDA call failed";
    case qcclSystemError:
      return "the operating system or a library underneath failed";
    case qcclInternalError:
      return "internal error: a defect in qccl";
    case qcclInvalidArgument:
      return "invalid argument";
    case qcclInvalidUsage:
      return "invalid usage: the call does not fit the state, or the ranks' calls do not fit one another";
    case qcclRemoteError:
      return "another rank died, aborted or failed";
    case qcclInProgress:
      return "in progress";
    case qcclTimeout:
      return "timed out waiting for another rank";
    default:
      return "unknown result code";
  }
}

const char* qcclGetLastError(qcclComm_t comm) {
  thread_local std::string ofComm;
  if (comm != nullptr) {
    const qcclResult_t found = guard([&] {
      std::string what;
      if (lookUp(comm)->asyncError(&what) == qcclSuccess) what.clear();
      ofComm = what;
    });
    if (found == qcclSuccess && !ofComm.empty()) return ofComm.c_str();
  }
  return lastError().c_str();
}

qcclResult_t qcclGetAlgorithmInfo(int index, qcclAlgoInfo_t* info) {
  return guard([&] {
    requireNonNull(info, "qcclGetAlgorithmInfo", "info");
    const auto& table = qccl::collectives::algorithmTable();
    if (index < 0 || static_cast<std::size_t>(index) >= table.size()) {
      qccl::fail(qcclInvalidArgument, "qcclGetAlgorithmInfo: index ", index, " is past the end of the table of ", table.size());
    }
    *info = table[static_cast<std::size_t>(index)].info;
  });
}

qcclResult_t qcclGetErrorBound(qcclAlgo_t algorithm, qcclCodec_t codec, qcclScale_t scale, qcclRounding_t rounding, int nranks,
                               double* factor) {
  return guard([&] {
    requireNonNull(factor, "qcclGetErrorBound", "factor");
    if (nranks < 1) qccl::fail(qcclInvalidArgument, "qcclGetErrorBound: nranks = ", nranks, " must be at least 1");
    if (qccl::enumName(qcclEnumCodec, codec) == nullptr)
      qccl::fail(qcclInvalidArgument, "qcclGetErrorBound: codec ", static_cast<int>(codec), " is unknown");
    if (qccl::enumName(qcclEnumScale, scale) == nullptr)
      qccl::fail(qcclInvalidArgument, "qcclGetErrorBound: scale ", static_cast<int>(scale), " is unknown");
    if (qccl::enumName(qcclEnumRounding, rounding) == nullptr) {
      qccl::fail(qcclInvalidArgument, "qcclGetErrorBound: rounding ", static_cast<int>(rounding), " is unknown");
    }
    const int quantizations = nranks == 1 ? 0 : qccl::collectives::algorithmRow(algorithm).quantizations({nranks, 0});
    qccl::collectives::Quantization quant;
    quant.codec = codec;
    quant.scale = scale;
    quant.rounding = rounding;
    *factor = qccl::collectives::errorBoundFactor(quantizations, quant);
  });
}

qcclResult_t qcclGetSettingInfo(int index, qcclSettingInfo_t* info) {
  return guard([&] {
    requireNonNull(info, "qcclGetSettingInfo", "info");
    const auto& table = qccl::settingTable();
    if (index < 0 || static_cast<std::size_t>(index) >= table.size()) {
      qccl::fail(qcclInvalidArgument, "qcclGetSettingInfo: index ", index, " is past the end of the table of ", table.size());
    }
    const qccl::SettingRow& row = table[static_cast<std::size_t>(index)];
    const char* text = std::getenv(row.name);
    thread_local std::string value;
    value = text != nullptr ? text : row.defaultValue;
    qccl::Settings parsed;
    row.parse(row, value, parsed);
    *info = {row.name, row.type, row.defaultValue, value.c_str(), row.unit, row.allowed, row.doc, text != nullptr ? 1 : 0};
  });
}

qcclResult_t qcclGetBuildInfo(const char** info) {
  return guard([&] {
    requireNonNull(info, "qcclGetBuildInfo", "info");
    *info = buildInfo().c_str();
  });
}

const char* qcclEnumName(qcclEnum_t kind, int value) { return qccl::enumName(kind, value); }
int qcclEnumValue(qcclEnum_t kind, const char* name) { return qccl::enumValue(kind, name); }
size_t qcclTypeSize(qcclDataType_t dtype) { return qccl::typeSize(dtype); }

}  // extern "C"
