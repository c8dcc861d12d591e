# Builds and runs consumer/ against one place that has qcclConfig.cmake. Run by ctest as
#   cmake -DMODE=install|build -DQCCL_BUILD=... -DCONSUMER=... -DWORK=... -DVERSION=... [-DLAUNCHER=ccache] -P consumer_test.cmake
# MODE install: an install tree made for the occasion, moved once to prove that it is relocatable. MODE build: the build tree itself.
cmake_minimum_required(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    string(JOIN " " command ${ARGV})
    message(FATAL_ERROR "${command}: exit code ${code}\n${output}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
if(MODE STREQUAL "install")
  # Only the library's own component: the programs may not have been built yet when this test is run alone.
  run(${CMAKE_COMMAND} --install ${QCCL_BUILD} --prefix ${WORK}/first --component qccl)
  file(RENAME ${WORK}/first ${WORK}/prefix)
  set(place -DCMAKE_PREFIX_PATH=${WORK}/prefix)
else()
  set(place -Dqccl_DIR=${QCCL_BUILD})
endif()
run(${CMAKE_COMMAND} -S ${CONSUMER} -B ${WORK}/build ${place} -DQCCL_WANTED_VERSION=${VERSION} -DCMAKE_BUILD_TYPE=Release
  -DCMAKE_C_COMPILER=${C_COMPILER} -DCMAKE_CXX_COMPILER=${CXX_COMPILER} -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER})
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${WORK}/build/consumer)
file(REMOVE_RECURSE ${WORK})
