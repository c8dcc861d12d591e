#include "model/cpu/ops_impl.hpp"

namespace qccl::train {

void CpuOps::swigluForward(ConstMatrix gate, ConstMatrix up, Matrix out) {
  requireShape(gate.rows == up.rows && gate.cols == up.cols && gate.rows == out.rows && gate.cols == out.cols, "swigluForward");
  kernels_.swigluForward(gate.data, up.data, gate.rows * gate.cols, out.data);
}

void CpuOps::swigluBackward(ConstMatrix gate, ConstMatrix up, ConstMatrix dOut, Matrix dGate, Matrix dUp) {
  requireShape(gate.rows == up.rows && gate.cols == up.cols && gate.rows == dOut.rows && gate.cols == dOut.cols &&
                   gate.rows == dGate.rows && gate.cols == dGate.cols && gate.rows == dUp.rows && gate.cols == dUp.cols,
               "swigluBackward");
  kernels_.swigluBackward(gate.data, up.data, dOut.data, gate.rows * gate.cols, dGate.data, dUp.data);
}

}  // namespace qccl::train
