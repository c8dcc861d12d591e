# Installs libqccl, the public headers, the tools and the package that find_package(qccl) reads.
include(CMakePackageConfigHelpers)

install(TARGETS qccl EXPORT qcclTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/qccl ${PROJECT_BINARY_DIR}/include/qccl
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT qcclTargets NAMESPACE qccl:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/qccl)
export(EXPORT qcclTargets NAMESPACE qccl:: FILE ${PROJECT_BINARY_DIR}/qcclTargets.cmake)

configure_package_config_file(cmake/qcclConfig.cmake.in ${PROJECT_BINARY_DIR}/qcclConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/qccl)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/qcclConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/qcclConfig.cmake ${PROJECT_BINARY_DIR}/qcclConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/qccl)
foreach(program qccl-perf qccl-info qccl-train)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()
