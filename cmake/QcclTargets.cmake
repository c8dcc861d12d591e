# How every target of qccl is compiled.

# qccl_add_layer(<name> SOURCES ... [LINK ...]): an internal static library of one folder of src/, called qccl_<name>. Layers below go into LINK.
function(qccl_add_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(qccl_${name} STATIC ${ARG_SOURCES})
  target_include_directories(qccl_${name} PUBLIC
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include)
  target_link_libraries(qccl_${name} PUBLIC ${ARG_LINK} Threads::Threads)
  qccl_compile_options(qccl_${name})
endfunction()

# Warnings, sanitizers, and the floating-point contract: no contraction behind our back (a*b+c is fused where the source says fmaf, and nowhere else), so that
# host and device compute the same bits.
function(qccl_compile_options target)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Wconversion;-Wshadow;-ffp-contract=off;$<$<BOOL:${QCCL_WERROR}>:-Werror>>
    $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false;-Xcompiler=-Wall,-Wextra,-ffp-contract=off;$<$<BOOL:${QCCL_WERROR}>:-Werror=all-warnings;-Xcompiler=-Werror>>)
  # GCC 12 sees an overlap in `"literal" + std::string` that is not there (GCC bug 105651).
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
  endif()
  if(QCCL_SANITIZE)
    target_compile_options(${target} PRIVATE
      $<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${QCCL_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=all>)
    target_link_options(${target} PUBLIC -fsanitize=${QCCL_SANITIZE})
  endif()
endfunction()

# qccl_add_program(<name> SOURCES ... [LINK ...]): a program in build/bin.
function(qccl_add_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINK})
  qccl_compile_options(${name})
endfunction()
