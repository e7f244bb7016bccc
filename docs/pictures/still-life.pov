// A still life, path-traced (radiosity, area light): the photograph-like starter of the examples and tests.
// povray +Istill-life.pov +Ostill-life.png +W768 +H768 +A0.1 +Q11 -D

#version 3.7;
global_settings {
  assumed_gamma 1.0
  radiosity { count 120 nearest_count 8 error_bound 0.6 recursion_limit 2 brightness 1.0 }
}

camera { location <0, 3.6, -8.4> right x look_at <0, 1.4, 0> angle 36 }

light_source {
  <-7, 9, -6> rgb <1.5, 1.4, 1.2>
  area_light <2.5, 0, 0>, <0, 2.5, 0>, 6, 6 adaptive 1 jitter
}
sky_sphere { pigment { rgb <0.35, 0.42, 0.55> } }

#declare Wood = texture {
  pigment {
    wood turbulence 0.06 scale <0.35, 0.35, 1> rotate <2, 88, 0>
    color_map { [0 rgb <0.42, 0.24, 0.12>] [0.6 rgb <0.55, 0.33, 0.17>] [1 rgb <0.3, 0.16, 0.08>] }
  }
  finish { ambient 0 diffuse 0.8 specular 0.15 roughness 0.03 }
}
#declare Plaster = texture {
  pigment { bozo turbulence 0.7 scale 1.7 color_map { [0 rgb <0.42, 0.5, 0.5>] [1 rgb <0.56, 0.62, 0.58>] } }
  normal { granite 0.12 scale 0.5 }
  finish { ambient 0 diffuse 0.75 }
}
#macro Skin(Dark, Light)
  texture {
    pigment { bozo turbulence 1 scale <0.25, 0.9, 0.25> color_map { [0 rgb Dark] [1 rgb Light] } }
    finish { ambient 0 diffuse 0.75 specular 0.5 roughness 0.015 }
  }
#end

plane { y, 0 texture { Wood } }
plane { z, 4 texture { Plaster } }

#declare Apple = lathe {
  cubic_spline 9,
  <0, -0.2>, <0.0, 0.08>, <0.3, 0.0>, <0.72, 0.3>, <0.85, 0.78>, <0.62, 1.2>, <0.25, 1.28>, <0.0, 1.08>, <-0.2, 0.9>
}
#declare Stem = cone { <0, 1.05, 0>, 0.03, <0.1, 1.5, 0.05>, 0.045 pigment { rgb <0.2, 0.12, 0.05> } finish { ambient 0 } }

object { Apple Skin(<0.45, 0.02, 0.02>, <0.75, 0.1, 0.05>) translate <-0.7, 0, -1.6> }
object { Stem translate <-0.7, 0, -1.6> }
object { Apple Skin(<0.3, 0.45, 0.05>, <0.55, 0.65, 0.12>) scale 0.92 rotate <0, 40, 0> translate <1.0, 0, -1.9> }
object { Stem scale 0.92 rotate <0, 140, 0> translate <1.0, 0, -1.9> }

// Oranges and a lemon
#macro Citrus(Colour, Radius, Where)
  sphere {
    0, Radius
    pigment { rgb Colour }
    normal { bumps 0.25 scale 0.035 }
    finish { ambient 0 diffuse 0.75 specular 0.35 roughness 0.03 }
    translate Where
  }
#end
Citrus(<0.9, 0.38, 0.03>, 0.72, <2.3, 0.72, -0.5>)
Citrus(<0.92, 0.42, 0.04>, 0.66, <-2.35, 0.66, -1.2>)
object { Citrus(<0.9, 0.75, 0.08>, 0.5, <0, 0, 0>) scale <1.35, 1, 1> rotate <0, 30, 0> translate <2.1, 0.5, -2.3> }

// A blue jug
merge {
  lathe {
    cubic_spline 9,
    <0, -0.1>, <0.6, 0.0>, <1.05, 0.6>, <1.1, 1.3>, <0.7, 2.1>, <0.45, 2.7>, <0.55, 3.15>, <0.62, 3.3>, <0.7, 3.5>
  }
  difference {
    torus { 0.75, 0.12 rotate x*90 scale <0.8, 1.1, 1> }
    box { <-3, -3, -3>, <0, 3, 3> }
    translate <0.62, 2.0, 0>
  }
  pigment { gradient y scale 3.4 color_map { [0 rgb <0.04, 0.1, 0.3>] [0.55 rgb <0.08, 0.2, 0.5>] [1 rgb <0.12, 0.3, 0.6>] } }
  finish { ambient 0 diffuse 0.7 specular 0.6 roughness 0.01 reflection { 0.04, 0.2 fresnel } conserve_energy }
  interior { ior 1.5 }
  translate <-0.9, 0, 0.8>
}

// A white bowl behind
lathe {
  cubic_spline 10,
  <0, 0.1>, <0.4, 0.0>, <0.5, 0.1>, <0.9, 0.35>, <1.25, 1.0>, <1.2, 1.02>, <0.85, 0.45>, <0.4, 0.22>, <0.0, 0.18>, <-0.4, 0.2>
  pigment { rgb <0.85, 0.83, 0.78> }
  finish { ambient 0 diffuse 0.8 specular 0.4 roughness 0.02 }
  scale 1.15
  translate <1.35, 0, 1.3>
}
Citrus(<0.55, 0.06, 0.16>, 0.5, <1.1, 1.1, 1.1>)
Citrus(<0.5, 0.05, 0.2>, 0.48, <1.75, 1.05, 1.5>)
Citrus(<0.35, 0.5, 0.1>, 0.45, <1.4, 1.2, 1.75>)

// A cloth under the front fruit
mesh {
  #local Step = 0.12;
  #macro P(U, V) <U, 0.03 + 0.05*(1 + sin(U*5 + 1.3*sin(V*3))) * (0.4 + 0.6*sin(V*1.7 + 1)*sin(V*1.7 + 1)), V> #end
  #local U = -2.0;
  #while (U < 1.4)
    #local V = -3.6;
    #while (V < -0.9)
      triangle { P(U, V), P(U + Step, V), P(U, V + Step) }
      triangle { P(U + Step, V), P(U + Step, V + Step), P(U, V + Step) }
      #local V = V + Step;
    #end
    #local U = U + Step;
  #end
  pigment { checker rgb <0.82, 0.78, 0.7>, rgb <0.7, 0.3, 0.28> scale 0.45 }
  finish { ambient 0 diffuse 0.8 }
  rotate <0, 8, 0>
}
