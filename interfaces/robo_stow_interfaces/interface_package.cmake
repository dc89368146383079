# For packages of interfaces: all of msg/, srv/ and action/, and what they need.

macro(interface_package)
  find_package(ament_cmake REQUIRED)
  find_package(rosidl_default_generators REQUIRED)
  foreach(dependency ${ARGN})
    find_package(${dependency} REQUIRED)
  endforeach()

  # A new file is picked up by the next configure.
  file(GLOB definitions CONFIGURE_DEPENDS RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}"
    msg/*.msg srv/*.srv action/*.action)

  option(PYTHON_ONLY "Leave out what only C++ nodes need" OFF)
  if(PYTHON_ONLY)
    list(FILTER AMENT_EXTENSIONS_rosidl_generate_idl_interfaces EXCLUDE REGEX "_cpp:")
  endif()

  rosidl_generate_interfaces(${PROJECT_NAME} ${definitions} DEPENDENCIES ${ARGN})
  # Its generated files define statics of the same names.
  set_target_properties(${PROJECT_NAME}__rosidl_generator_c PROPERTIES UNITY_BUILD OFF)

  ament_export_dependencies(rosidl_default_runtime)
  ament_package()
endmacro()
