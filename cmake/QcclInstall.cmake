# Installs libqccl, the public headers, the tools and the package that find_package(qccl) reads. Component qccl: what a program needs to build against and run with the
# library; qccl-tools: the programs.
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/qccl)

install(TARGETS qccl EXPORT qcclTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT qccl
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT qccl
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT qccl)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/qccl ${PROJECT_BINARY_DIR}/include/qccl
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT qccl FILES_MATCHING PATTERN "*.h")
install(EXPORT qcclTargets NAMESPACE qccl:: DESTINATION ${package_folder} COMPONENT qccl)
export(EXPORT qcclTargets NAMESPACE qccl:: FILE ${PROJECT_BINARY_DIR}/qcclTargets.cmake)

configure_package_config_file(cmake/qcclConfig.cmake.in ${PROJECT_BINARY_DIR}/qcclConfig.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/qcclConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/qcclConfig.cmake ${PROJECT_BINARY_DIR}/qcclConfigVersion.cmake DESTINATION ${package_folder} COMPONENT qccl)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT qccl)

# The programs look for the library beside themselves, wherever the tree was put.
foreach(program qccl-perf qccl-info qccl-train)
  if(TARGET ${program})
    file(RELATIVE_PATH library_from_programs /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})
    set_target_properties(${program} PROPERTIES INSTALL_RPATH "$ORIGIN/${library_from_programs}")
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT qccl-tools)
  endif()
endforeach()
