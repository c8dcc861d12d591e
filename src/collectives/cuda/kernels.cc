#include "collectives/cuda/kernel_call.hpp"

namespace qccl::collectives::cuda {

// One source file each (schedule_<name>.cu).
ScheduleKernel scheduleExact(int type, bool stochastic);
ScheduleKernel scheduleInt8(int type, bool stochastic);
ScheduleKernel scheduleInt6(int type, bool stochastic);
ScheduleKernel scheduleInt5(int type, bool stochastic);
ScheduleKernel scheduleInt4(int type, bool stochastic);
ScheduleKernel scheduleFp8E4m3(int type, bool stochastic);
ScheduleKernel scheduleFp8E5m2(int type, bool stochastic);
ScheduleKernel scheduleFp4E2m1(int type, bool stochastic);
ScheduleKernel scheduleBf16(int type, bool stochastic);

ScheduleKernel scheduleKernel(qcclCodec_t codec, qcclDataType_t dtype, bool stochastic) {
  if (dtype != qcclFloat32 && dtype != qcclBfloat16 && dtype != qcclFloat16) return {};
  const int type = dtype == qcclFloat32 ? 0 : dtype == qcclBfloat16 ? 1 : 2;
  switch (codec) {
    case qcclCodecNone:
      return scheduleExact(type, stochastic);
    case qcclCodecInt8:
      return scheduleInt8(type, stochastic);
    case qcclCodecInt6:
      return scheduleInt6(type, stochastic);
    case qcclCodecInt5:
      return scheduleInt5(type, stochastic);
    case qcclCodecInt4:
      return scheduleInt4(type, stochastic);
    case qcclCodecFp8E4m3:
      return scheduleFp8E4m3(type, stochastic);
    case qcclCodecFp8E5m2:
      return scheduleFp8E5m2(type, stochastic);
    case qcclCodecFp4E2m1:
      return scheduleFp4E2m1(type, stochastic);
    case qcclCodecBf16:
      return scheduleBf16(type, stochastic);
    default:
      return {};
  }
}

}  // namespace qccl::collectives::cuda
