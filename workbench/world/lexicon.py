"""Lexicon: the fillers of each slot of the prompt grammar, as data. A group holds those that fit into the same phrases."""


def _phrases(block):
    """A block of phrases between commas and line ends -> tuple of phrases."""
    return tuple(phrase for phrase in (" ".join(part.split()) for part in block.replace("\n", ",").split(",")) if phrase)


SUBJECT = {
    "person": _phrases("""
        samurai, lighthouse keeper, knight, wizard, astronaut, violinist, blacksmith, ballerina, sailor, queen, king, shaman
        monk, beekeeper, clockmaker, street musician, fortune teller, desert nomad, elven archer, druid, alchemist
        airship captain, robot, space explorer, viking warrior, gardener, fisherman, train conductor, tea master, jazz pianist
        cyborg, android, mechanic, flower seller, deep sea diver, mountain climber, librarian, cellist, tightrope walker
        mushroom forager, snow queen, pharaoh, steampunk inventor, fire dancer, moon priestess, potter, botanist, cartographer
        baker, geisha, scarecrow, tax accountant, retired detective, puppeteer, woman, man, grandmother, ice sculptor
    """),
    "creature": _phrases("""
        red fox, dragon, snow leopard, owl, raven, wolf, cat, corgi, octopus, jellyfish, humpback whale, tiger, lion, elephant
        koi fish, hummingbird, griffin, phoenix, unicorn, kraken, stag, polar bear, panda, rabbit, hedgehog, axolotl
        chameleon, sea turtle, peacock, praying mantis, moth, frog, tortoise, otter, raccoon, sphinx, golem, yeti, lizard
        bull, white horse, heron, crow, red squirrel, barn owl, sloth, baby dragon, forest spirit, ferret
    """),
    "thing": _phrases("""
        teapot, pocket watch, vintage motorcycle, steam locomotive, sailing ship, airship, spaceship, treehouse, windmill
        typewriter, chess set, grand piano, bowl of ramen, stack of pancakes, cup of coffee, bouquet of peonies, bonsai tree
        sunflower, hot air balloon, submarine, castle, lighthouse, cottage, pagoda, telescope, greenhouse, mask, crown
        sports car, bicycle, hourglass, armchair, music box, chandelier, birdcage, cathedral, mech suit, floating island
        statue, throne, skull, snow globe, bookshelf, lantern, gramophone
    """),
    "many": _phrases("""
        snow geese, wild horses, dancing skeletons, mushrooms, fireflies, paper boats, flying whales, koi, wildflowers
        penguins, robots, tea cups
    """),
    "portrait": _phrases("""
        portrait of a pirate, portrait of a noblewoman, portrait of an old sailor, portrait of a jester
        portrait of a saxophone player, close-up portrait of a falconer, full body portrait of a paladin
        self portrait of a painter, half body portrait of an elf, close-up of a dragonfly, silhouette of a lone rider
        portrait of a samurai, head of a roman emperor, portrait of a goddess, bust of a philosopher
    """),
    "place": _phrases("""
        futuristic city, mountain village, snowy landscape, underwater kingdom, alien planet, japanese garden, fishing harbor
        abandoned amusement park, medieval market square, cyberpunk street, tropical island, autumn landscape, gothic library
        seaside town, cozy living room, cloudscape, waterfall, canyon, lavender farm, small bakery
    """),
}

# At most one of these precedes a subject, inside its span.
ADJECTIVES = _phrases("""
    old, ancient, tiny, giant, majestic, mysterious, beautiful, lonely, strange, elegant, weathered, futuristic, cute
    ethereal, gothic, colossal, friendly, epic, melancholic, ornate, cosmic, mechanical, ghostly, fluffy, graceful, noble
    surreal, enchanted, forgotten, whimsical, biomechanical, regal, wise, steampunk, glowing, tall, delicate, wandering
""")

ACTION = {
    "person": _phrases("""
        reading a book, playing the violin, holding a lantern, drinking tea, riding a bicycle, looking at the moon
        wearing a long coat, playing chess, dancing, dancing in the rain, painting a picture, walking a dog, smiling
        meditating, casting a spell, laughing, holding a sword, sitting by the window, walking with an umbrella
        writing a letter, waiting for a train, riding a horse, cooking dinner, playing the cello, feeding pigeons
        wearing a crown of flowers, wearing round glasses, holding a bouquet, repairing a clock, sailing a small boat
        picking apples, lighting a candle, opening an old door, wearing ornate armor, drinking coffee
        staring into the distance, singing, wearing a kimono, wearing a spacesuit, carrying a heavy backpack, reading a map
        whispering to a bird, juggling
    """),
    "creature": _phrases("""
        sleeping, jumping, running, flying, drinking water, hunting for fish, howling at the moon, spreading its wings
        chasing butterflies, guarding treasure, curled up asleep, breathing fire, eating ramen, wearing a scarf
        wearing sunglasses, playing the guitar, looking at the camera, climbing a tree, swimming, resting, perched on a branch
        sitting on a throne, watching the stars, emerging from its shell, yawning, hiding, leaping over a stream
        wearing a tiny hat, stretching, stalking through tall grass
    """),
    "thing": _phrases("""
        floating, glowing, covered in moss, overgrown with ivy, covered in snow, falling apart, floating in space
        surrounded by books, wrapped in fog, half buried in sand, melting, burning, drifting away, exploding into petals
        reflected in a puddle, filled with light, sinking slowly, rusting, spinning, covered in flowers
        hovering above the ground, levitating
    """),
    "any": _phrases("""
        emerging from the mist, surrounded by fireflies, walking through the fog, dissolving into smoke, seen from behind
        flying through clouds, surrounded by butterflies, crossing a bridge, turning into birds, marching, gathering, standing
        marching through a storm, waiting
    """),
}

# The group is the preposition, with the article if there is one.
SCENE = {
    "in a": _phrases("""
        snowy forest, bamboo forest, dark alley, library, field of sunflowers, wheat field, lavender field, small village
        cathedral, crowded market, japanese tea house, flooded city, ruined temple, spaceship cockpit, greenhouse, coffee shop
        crystal cave, abandoned factory, busy subway station, rose garden, birch forest, pine forest, jungle, neon city
        meadow, thunderstorm, medieval tavern, opera house, cluttered workshop, candlelit room, zen garden, desert canyon
        sandstorm, throne room, wizard tower, deep forest, train station, victorian parlor, kitchen, ballroom
        underground cavern, misty valley, science laboratory, rice field, foggy swamp, haunted mansion, moonlit garden
        space station, courtyard, flower shop
    """),
    "in the": _phrases("""
        desert, rain, mountains, swiss alps, fog, snow, clouds, deep ocean, arctic, sahara, amazon rainforest
        streets of tokyo, canals of venice, scottish highlands, streets of paris, ruins of rome, moonlight, wilderness
        savanna, distance, old town, sky, norwegian fjords, new york subway, countryside
    """),
    "on a": _phrases("""
        beach, cliff, mountain top, rooftop, wooden bridge, frozen lake, stage, hill, cobblestone street, distant planet
        wooden table, balcony, raft, cloud, marble staircase, country road, pirate ship, fire escape, rocky shore, park bench
    """),
    "on the": _phrases(
        "moon, surface of mars, edge of the world, high seas, banks of a river, orient express, shore of a lake, great plains"
    ),
    "under a": _phrases(
        "starry sky, stormy sky, cherry tree, full moon, stone arch, giant mushroom, waterfall, double rainbow, red moon"
    ),
    "at": _phrases("""
        sunrise, sunset, night, dusk, dawn, midnight, sea, the end of the world, the carnival, a bus stop, the bottom of the sea
        twilight
    """),
    "near": _phrases(
        "a river, an old mill, the ocean, a volcano, a campfire, the pyramids, a stone circle, a frozen waterfall, the harbor"
    ),
}

MEDIUM = {
    "of": _phrases("""
        oil painting, watercolor painting, digital painting, charcoal drawing, pencil sketch, photograph, photo, ink drawing
        acrylic painting, gouache painting, pastel drawing, polaroid photo, black and white photo, woodcut, linocut, etching
        engraving, lithograph, fresco, mosaic, tapestry, bronze sculpture, marble sculpture, marble bust, clay sculpture
        ice sculpture, pixel art, vector illustration, comic book cover, movie poster, travel poster, matte painting
        3d render, isometric render, low poly render, screenprint, collage, paper cutout, pen sketch, ballpoint pen drawing
        chalk drawing, technical drawing, blueprint, storybook illustration, stained glass window, tarot card, album cover
        daguerreotype, cyanotype, tintype photograph, film still, movie still, diorama, wood carving, origami, embroidery
        felt sculpture, paper mache sculpture, claymation still, anime screenshot, character sheet, concept sketch
        line drawing, portrait painting, portrait photo, sticker, logo, illustration, painting, drawing, sketch, sculpture
        render, double exposure photo, infrared photograph, botanical illustration, scientific illustration, coloring page
        risograph print, copper engraving, ink wash painting
    """),
    "plain": _phrases("""
        oil on canvas, concept art, digital art, watercolor, mixed media, charcoal on paper, ink on paper, acrylic on canvas
        tempera on panel, gouache, pen and ink, oil on wood, graphite, street art, graffiti, vector art, impasto
        character design, game art, cover art, wall mural, pastel on paper, watercolor and ink, photography
        street photography, cel shaded, colored pencil, papercraft, scratchboard, airbrush, character portrait, storyboard
        splash art, card art, glitch art
    """),
}

MOVEMENT = {
    # before a medium ("a baroque oil painting of"), before "style", or alone
    "style": _phrases("""
        art nouveau, art deco, baroque, impressionist, cubist, surrealist, pop art, bauhaus, ukiyo-e, rococo, renaissance
        romanticist, gothic, expressionist, pre-raphaelite, minimalist, abstract, futurist, pointillist, fauvist, dadaist
        constructivist, symbolist, neoclassical, photorealist, cyberpunk, steampunk, vaporwave, synthwave, dieselpunk
        solarpunk, retro futuristic, dark fantasy, folk art, naive art, op art, brutalist, psychedelic, byzantine, medieval
        post-impressionist, victorian, mannerist, de stijl, film noir, sci-fi, high fantasy, biopunk, lowbrow, suprematist
        tenebrist, precisionist, cottagecore, atompunk, outsider art, dark academia, anime, manga, rayonist
    """),
    # alone, or after "in the style of"
    "name": _phrases("""
        impressionism, cubism, surrealism, expressionism, abstract expressionism, romanticism, realism, magical realism
        magic realism, minimalism, hyperrealism, symbolism, fauvism, futurism, constructivism, pointillism, tonalism
        hudson river school, barbizon school, arte povera, vienna secession, ashcan school, dutch golden age
        arts and crafts movement, golden age illustration, social realism, mexican muralism, color field painting, tachisme
        vorticism, orphism, metaphysical art, neo-expressionism, postmodernism, les nabis, der blaue reiter
    """),
}

ARTIST = {
    "name": _phrases("""
        Claude Monet, Rembrandt, Vincent van Gogh, Alphonse Mucha, Gustav Klimt, Egon Schiele, Edvard Munch, Paul Cézanne
        Paul Gauguin, Georges Seurat, Edgar Degas, Édouard Manet, Pierre-Auguste Renoir, Camille Pissarro, Berthe Morisot
        Mary Cassatt, Henri Matisse, Pablo Picasso, Georges Braque, Salvador Dalí, René Magritte, Max Ernst, Joan Miró
        Wassily Kandinsky, Paul Klee, Piet Mondrian, Kazimir Malevich, Marc Chagall, Amedeo Modigliani, Frida Kahlo
        Diego Rivera, Georgia O'Keeffe, Edward Hopper, Grant Wood, Norman Rockwell, Andrew Wyeth, N. C. Wyeth, Howard Pyle
        Maxfield Parrish, Arthur Rackham, Edmund Dulac, Kay Nielsen, Aubrey Beardsley, Walter Crane, Beatrix Potter
        Gustave Doré, William Blake, J. M. W. Turner, John Constable, John Singer Sargent, James Whistler, Winslow Homer
        Thomas Cole, Albert Bierstadt, Frederic Edwin Church, Thomas Moran, Caspar David Friedrich, Arnold Böcklin
        Francisco Goya, Diego Velázquez, El Greco, Caravaggio, Artemisia Gentileschi, Leonardo da Vinci, Michelangelo, Raphael
        Titian, Sandro Botticelli, Giotto, Jan van Eyck, Hieronymus Bosch, Pieter Bruegel the Elder, Albrecht Dürer
        Hans Holbein, Johannes Vermeer, Frans Hals, Peter Paul Rubens, Anthony van Dyck, Giuseppe Arcimboldo, Canaletto
        Giovanni Battista Piranesi, Jacques-Louis David, Eugène Delacroix, Jean-Léon Gérôme, William-Adolphe Bouguereau
        Lawrence Alma-Tadema, John William Waterhouse, Dante Gabriel Rossetti, John Everett Millais, Edward Burne-Jones
        William Morris, Gustave Moreau, Odilon Redon, Henri Rousseau, Henri de Toulouse-Lautrec, Fernand Léger
        Robert Delaunay, Tamara de Lempicka, Otto Dix, Franz Marc, Ernst Ludwig Kirchner, Giorgio de Chirico, Yves Tanguy
        Remedios Varo, Leonora Carrington, Dorothea Tanning, Andy Warhol, Roy Lichtenstein, Jackson Pollock, Mark Rothko
        Willem de Kooning, Helen Frankenthaler, Agnes Martin, Hilma af Klint, Francis Bacon, Lucian Freud, Keith Haring
        Jean-Michel Basquiat, Victor Vasarely, M. C. Escher, H. R. Giger, Zdzisław Beksiński, Moebius, Frank Frazetta
        Syd Mead, Ralph McQuarrie, Virgil Finlay, Jack Kirby, Bernie Wrightson, Katsushika Hokusai, Utagawa Hiroshige
        Kitagawa Utamaro, Utagawa Kuniyoshi, Hasui Kawase, Yoshitoshi, Ito Jakuchu, Osamu Tezuka, Ivan Aivazovsky
        Isaac Levitan, Ilya Repin, Ivan Shishkin, Mikhail Vrubel, Ivan Bilibin, Konstantin Korovin, Nicholas Roerich
        Ansel Adams, Dorothea Lange, Walker Evans, Diane Arbus, Henri Cartier-Bresson, Vivian Maier, Man Ray, Saul Leiter
        Julia Margaret Cameron, Richard Avedon, Irving Penn, Edward Weston, Imogen Cunningham, Gordon Parks, Alfred Stieglitz
        Robert Doisneau, Brassaï, Eugène Atget, Bob Ross, Thomas Kinkade, Carl Larsson, John Bauer, Tove Jansson
        Vilhelm Hammershøi, Joaquín Sorolla, Antoni Gaudí, Louis Wain, Raja Ravi Varma, Qi Baishi, Xu Beihong
    """),
}

LIGHTING = {
    # alone or after "with"
    "light": _phrases("""
        volumetric lighting, cinematic lighting, dramatic lighting, studio lighting, soft lighting, rim lighting, rim light
        global illumination, natural light, warm light, ambient light, backlighting, neon lighting, neon glow, god rays
        crepuscular rays, soft light, soft shadows, hard shadows, long shadows, high contrast lighting, low key lighting
        high key lighting, split lighting, rembrandt lighting, candlelight, butterfly lighting, three point lighting
        soft studio lighting, beautiful lighting, moody lighting, dappled sunlight, sunbeams, morning light, dim light
        cold blue light, bioluminescence, bioluminescent glow, lens flare, chiaroscuro, spotlight, firelight, strobe light
        morning sun, diffused light, subsurface scattering, ray traced reflections, stage lighting, fluorescent light
        window light, light leaks, glowing edges, harsh flash, bounced light, caustics, iridescent reflections, soft rim light
        moonlit haze, volumetric fog, overcast light, colorful stage lights, ultraviolet light, twilight glow, side lighting
        tungsten light, light shafts, theatrical lighting, warm sunset light, ominous glow, golden backlight
    """),
    # alone, or after a preposition of its own
    "during": _phrases("golden hour, blue hour, magic hour, the northern lights, a solar eclipse, a meteor shower"),
    "lit by": _phrases("""
        torchlight, lantern light, moonlight, starlight, neon signs, lightning, fairy lights, gaslight, a single lamp
        paper lanterns
    """),
}

CAMERA = {
    # after "shot on", or alone
    "gear": _phrases("""
        Kodak Portra 400, Kodak Ektachrome, Kodachrome, Fujifilm Velvia, Ilford HP5, CineStill 800T, Canon EOS R5
        Canon 5D Mark IV, Nikon D850, Sony Alpha 7, Leica, Hasselblad, Polaroid SX-70, Arri Alexa, iPhone, 35mm film
        16mm film, medium format film, a disposable camera, large format film, expired film, Fujifilm X-T4, GoPro, Super 8
        IMAX 70mm, Rolleiflex, Holga, Lomography film, a pinhole camera, Mamiya RB67
    """),
    # after "shot with a", or alone
    "lens": _phrases("""
        35mm lens, 50mm lens, 85mm lens, 24mm lens, 14mm lens, 200mm lens, wide angle lens, fisheye lens, telephoto lens
        macro lens, anamorphic lens, tilt shift lens, portrait lens, zoom lens, sigma 85mm lens, vintage lens, prime lens
        petzval lens, soft focus filter
    """),
    "view": _phrases("""
        close-up shot, extreme close-up, medium shot, full body shot, wide shot, wide angle, low angle shot, high angle shot
        bird's eye view, worm's eye view, aerial view, drone shot, over the shoulder shot, dutch angle, macro shot
        long exposure, motion blur, bokeh, depth of field, shallow depth of field, f/1.4, f/1.8, f/2.8, f/8, iso 100, iso 800
        1/1000 shutter speed, centered composition, rule of thirds, symmetrical composition, panoramic view, establishing shot
        first person view, isometric view, top down view, side view, eye level shot, tilt shift, fisheye, film grain
        double exposure, vignette, chromatic aberration, cowboy shot, establishing wide shot, head and shoulders shot
        low angle, extreme wide shot, profile view, point of view shot, telephoto, three quarter view, rear view
        cinematic framing, flat lay
    """),
}

COLOR = {
    # before a subject, or alone in pairs
    "word": _phrases("""
        red, blue, green, yellow, orange, purple, pink, black, white, golden, silver, gold, bronze, copper, crimson, scarlet
        teal, turquoise, cyan, magenta, violet, indigo, emerald green, jade green, olive green, mint green, sky blue
        navy blue, cobalt blue, pale blue, royal blue, midnight blue, burnt orange, peach, coral, salmon pink, hot pink
        lavender, lilac, maroon, burgundy, ochre, mustard yellow, lemon yellow, ivory, cream, beige, sepia, charcoal
        slate gray, dark gray, pearl white, rose gold, amber, rust, chocolate brown, sand, ultramarine, prussian blue
        vermilion, chartreuse, aquamarine, plum, periwinkle, fuchsia, iridescent, neon green, neon pink, rainbow colored
        dark red, light blue, pale pink
    """),
    "palette": _phrases("""
        vibrant colors, muted colors, pastel colors, earth tones, warm colors, cool colors, black and white, monochrome
        teal and orange, complementary colors, vivid colors, high saturation, desaturated, neon colors, bright colors
        autumn colors, jewel tones, sepia tones, duotone, limited color palette, soft pastel palette, rich colors
        cold color palette, bold colors, warm tones, cool tones, deep blues, candy colors, gradient, technicolor, moody colors
        dark tones, analogous colors, rainbow, faded colors, colorful, split toning
    """),
}

MATERIAL = {
    # before a thing, after "made of", or alone
    "stuff": _phrases("""
        marble, bronze, gold, silver, copper, brass, iron, rusted steel, stainless steel, chrome, glass, frosted glass
        stained glass, crystal, jade, obsidian, amber, ivory, porcelain, ceramic, terracotta, clay, wood, oak, driftwood
        bamboo, birch bark, walnut, leather, velvet, silk, lace, wool, denim, cotton, linen, felt, paper, cardboard, newspaper
        wax, ice, stone, granite, slate, sandstone, concrete, coral, bone, liquid metal, plastic, rubber, resin, acrylic
        carbon fiber, tin, ruby, emerald, sapphire, diamond, opal, quartz, pearl, turquoise, chocolate, gingerbread
        wrought iron, polished ebony, hammered copper, white marble, translucent resin, damascus steel
    """),
    # after "made of", or alone
    "substance": _phrases("""
        feathers, fur, moss, vines, flowers, leaves, mushrooms, smoke, water, mercury, lava, fire, stardust, clouds, snow
        sand, folded paper, mother of pearl, lapis lazuli, gold leaf, clockwork gears, circuit boards, lego bricks, candy
        yarn, woven straw, gemstones, gold filigree
    """),
}

QUALITY = {
    "praise": _phrases("""
        highly detailed, 8k, 4k, sharp focus, masterpiece, ultra realistic, intricate, intricate details, best quality
        award winning, 4k uhd, extremely detailed, hyperrealistic, photorealistic, hyper detailed, ultra detailed, smooth
        elegant, beautiful, hd, uhd, 8k resolution, high resolution, 16k, insanely detailed, unreal engine 5, unreal engine
        octane render, elaborate, professional, high quality, stunning, breathtaking, epic composition, crisp, realistic
        very detailed, cinematic, epic, ornate, award-winning, detailed, finely detailed, hdr, super resolution, ultra hd
        polished, maximalist detail, cinema 4d, blender, v-ray, perfect composition, detailed face, fine details, atmospheric
        hyper realistic, dynamic composition, professional photography
    """),
}

SITE = {
    "site": _phrases("""
        trending on artstation, artstation, featured on behance, behance, deviantart, trending on deviantart, pixiv
        featured on pixiv, cgsociety, trending on cgsociety, artstation hq, pinterest, unsplash, featured on unsplash, 500px
        flickr, dribbble, behance hd, national geographic, pixabay, shutterstock, trending on pinterest, featured on flickr
        instagram, trending on instagram, wikiart, zbrush central, trending on pixiv, vogue magazine, art station
        getty images, wallhaven, smithsonian collection
    """),
}

# Slots whose fillers no list holds completely: some of them are held out, to stand for phrases nobody has seen.
OPEN_SLOTS = ("subject", "action", "scene", "medium", "movement", "artist", "lighting", "camera", "color", "material")
SLOTS = {
    "subject": SUBJECT,
    "action": ACTION,
    "scene": SCENE,
    "medium": MEDIUM,
    "movement": MOVEMENT,
    "artist": ARTIST,
    "lighting": LIGHTING,
    "camera": CAMERA,
    "color": COLOR,
    "material": MATERIAL,
    "quality": QUALITY,
    "site": SITE,
}
